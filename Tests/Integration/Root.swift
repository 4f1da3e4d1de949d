import Foundation
import Testing

extension Integration {
    /// Part 2: the root of a session.
    @Suite struct Root {
        @Test func theHostImageHasTheHostsPrograms() throws {
            try withDesk { desk in
                #expect(desk.sh([], "echo $((6 * 7))").output == "42")
                #expect(desk.python([], "print(6 * 7)").output == "42")
            }
        }

        @Test func nothingElseOfTheHostIsThere() throws {
            // Each exists outside, so its absence inside means something.
            let names = [
                "/root/.bashrc", "/var/lib/dpkg/status", "/etc/shadow", "/etc/hostname", "/boot", "/sys/kernel",
            ]
            try withDesk { desk in
                for name in names {
                    #expect(Host.outside("test -e \(name)").status == 0, "\(name) is not on the host")
                    #expect(desk.sh([], "test ! -e \(name)").status == 0, "\(name) is in the session")
                }
                for place in ["/home", "/srv", "/opt", "/mnt", "/media"] {
                    let inside = desk.sh([], "ls -A \(place) 2>/dev/null")
                    #expect(inside.lines.allSatisfy { $0 == "agent" }, "\(place): \(inside.output)")
                }
                // The state directory, other workdirs and the test itself.
                #expect(desk.sh([], "test ! -e '\(desk.path)'").status == 0)
            }
        }

        @Test func etcIsMinimal() throws {
            try withDesk { desk in
                let inside = desk.sh(
                    [], "cut -d: -f1 /etc/passwd; getent hosts localhost; test -r /etc/ssl/certs && id -un")
                #expect(inside.status == 0, "\(inside)")
                #expect(inside.lines.starts(with: ["root", "agent", "nobody"]), "\(inside)")
                #expect(inside.lines.last == "agent")
            }
        }

        @Test(arguments: [
            "/x", "/usr/x", "/usr/bin/x", "/etc/x", "/bin/x", "/lib/x", "/dev/x", "/proc/x", "/var/x", "/run/x",
        ])
        func nothingOfTheImageCanBeWritten(path: String) throws {
            try withDesk { desk in
                let inside = desk.python([], "print(attempt(os.open, '\(path)', os.O_WRONLY | os.O_CREAT))")
                #expect(["EROFS", "EACCES", "EPERM", "ENOENT"].contains(inside.output), "\(inside)")
                #expect(desk.sh([], "echo x > /tmp/x && echo x > ~/x && echo x > /dev/shm/x").status == 0)
            }
        }

        /// Under systemd every mount of the host is shared with what is cloned of it.
        @Test(.enabled(if: Host.isRoot, "only root makes a mount namespace"))
        func noMountOfASessionIsOnTheHost() throws {
            try withDesk { desk in
                try desk.write("of the host", to: "work/.env")
                let seen = desk.around(
                    """
                    exec unshare --mount --propagation shared bash -c '
                        sort /proc/self/mountinfo >"$PLACE/before"
                        "$CARREL" run --workdir "$PLACE/work" -- sh -c "cat .env; grep shared: /proc/self/mountinfo"
                        sort /proc/self/mountinfo | comm -3 "$PLACE/before" -
                        cat "$PLACE/work/.env"; ls -A "$PLACE/work"'
                    """, adding: ["PLACE": desk.path])
                #expect(seen.lines == ["of the host.env"] && seen.errors.isEmpty, "\(seen)")
            }
        }

        @Test func everyMountIsNosuidAndNodev() throws {
            try withDesk { desk in
                let mounts = desk.run([], ["cat", "/proc/self/mountinfo"]).lines
                try #require(mounts.count > 5)
                for line in mounts {
                    let fields = line.split(separator: " ")
                    // /dev/null in the place of a masked file is a device, and one that cannot be used is no mask.
                    if fields[3] == "/null" { continue }
                    let options = fields[5].split(separator: ",")
                    #expect(options.contains("nosuid"), "\(line)")
                    // The six devices are bind mounts of the host's nodes, or nodes: either way the only ones.
                    if !fields[4].hasPrefix("/dev") { #expect(options.contains("nodev"), "\(line)") }
                    let writable = ["/tmp", "/home/agent", "/dev", "/proc", "/workspace"]
                    if !writable.contains(where: { fields[4].hasPrefix($0) }) {
                        #expect(options.contains("ro"), "\(line)")
                    }
                }
            }
        }

        @Test func theOldRootIsGone() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [],
                    """
                    here = os.open('/', os.O_PATH)
                    for _ in range(64): here = os.open('..', os.O_PATH, dir_fd=here)
                    print(os.fstat(here).st_ino == os.stat('/').st_ino, *sorted(os.listdir(f'/proc/self/fd/{here}')))
                    """)
                #expect(inside.output.hasPrefix("True") && !inside.output.contains("lost+found"), "\(inside)")
                // The name of the host's tree is in no mount but as the source of a bind (field 4 is relative to its device).
                #expect(!desk.run([], ["cat", "/proc/self/mountinfo"]).output.contains("/put_old"))
            }
        }

        @Test func procIsMasked() throws {
            try withDesk { desk in
                for file in [
                    "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug",
                ] {
                    let inside = desk.python([], "print(attempt(lambda: len(open('\(file)', 'rb').read(64))))")
                    #expect(["0", "ENOENT", "EACCES", "EPERM"].contains(inside.output), "\(file): \(inside)")
                }
                for directory in ["/proc/acpi", "/proc/scsi"] {
                    #expect(desk.sh([], "ls -A \(directory) 2>/dev/null").output == "", "\(directory)")
                }
                for file in [
                    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity",
                    "/proc/sys/kernel/hostname",
                ] {
                    let inside = desk.python([], "print(attempt(os.open, '\(file)', os.O_WRONLY))")
                    #expect(["EROFS", "EACCES", "EPERM", "ENOENT"].contains(inside.output), "\(file): \(inside)")
                }
                #expect(desk.sh([], "ls -A /sys 2>/dev/null").output == "")
            }
        }

        @Test func devHasSixDevices() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [],
                    """
                    import stat
                    for name in sorted(os.listdir('/dev')):
                        found = os.stat('/dev/' + name)
                        if stat.S_ISCHR(found.st_mode): print(name, os.major(found.st_rdev), os.minor(found.st_rdev))
                        assert not stat.S_ISBLK(found.st_mode)
                    os.write(os.open('/dev/null', os.O_WRONLY), b'x')
                    print(len(os.read(os.open('/dev/urandom', os.O_RDONLY), 4)), attempt(os.write, os.open('/dev/full', os.O_WRONLY), b'x'))
                    print(attempt(os.mknod, '/tmp/mem', stat.S_IFCHR | 0o600, os.makedev(1, 1)))
                    """)
                let six = ["full 1 7", "null 1 3", "random 1 8", "tty 5 0", "urandom 1 9", "zero 1 5"]
                let others = inside.lines.filter { !six.contains($0) && !$0.hasPrefix("ptmx 5 2") }
                #expect(six.allSatisfy(inside.lines.contains), "\(inside)")
                #expect(others == ["4 ENOSPC", "EPERM"], "\(inside)")
            }
        }

        /// What was made for all sessions works no longer where the state directory's filesystem has been mounted anew.
        @Test(.enabled(if: Host.isRoot, "only root mounts")) func devicesWorkWhereTheStateHasNone() throws {
            try withDesk { desk in
                let state = desk.path + "/mounted"
                let told = desk.around(
                    """
                    exec unshare --mount bash -c '
                        mkdir "$CARREL_STATE" && mount -t tmpfs none "$CARREL_STATE" && chmod 711 "$CARREL_STATE"
                        for option in dev nodev; do
                            mount -o remount,$option "$CARREL_STATE"
                            "$CARREL" run -- sh -c "echo x >/dev/null && head -c 4 /dev/zero | wc -c"
                        done'
                    """, adding: ["CARREL_STATE": state])
                #expect(told.output == "4\n4" && told.errors.isEmpty, "\(told)")
            }
        }

        @Test func ptysAreItsOwn() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [], "import pty; m, s = pty.openpty(); print(os.ttyname(s), *sorted(os.listdir('/dev/pts')))")
                #expect(inside.output == "/dev/pts/0 0 ptmx", "\(inside)")
            }
        }

        @Test func tmpfsHasTheSizeOfTheProfile() throws {
            try withDesk { desk in
                let inside = desk.sh(
                    ["--tmp", "8MiB"], "df -k /tmp | tail -1; dd if=/dev/zero of=/tmp/x bs=1M count=16 2>&1")
                #expect(inside.output.contains(" 8192 "), "\(inside)")
                #expect(inside.output.contains("No space left on device"), "\(inside)")
            }
        }

        // MARK: directory images

        /// A small root: a static busybox and nothing else.
        static func image(_ desk: Desk, _ more: String = "") throws -> String {
            let image = try desk.directory("image")
            let made = Host.outside(
                "cd '\(image)' && mkdir -p bin etc && cp /usr/bin/busybox bin/ && for n in sh cat ls echo test true id; do ln -s busybox bin/$n; done; \(more)"
            )
            try #require(made.status == 0, "\(made)")
            return image
        }

        @Test(.enabled(if: Host.has("busybox"), "needs busybox-static")) func aDirectoryIsARoot() throws {
            try withDesk { desk in
                let image = try Self.image(desk, "echo mine > etc/mark")
                let before = Host.outside("find '\(image)' -printf '%p %m %T@ %U %s\\n' | sort").output
                let inside = desk.sh(
                    ["--image", image],
                    "cat /etc/mark; test ! -e /usr/bin/python3; echo x > /bin/x; echo $? ; echo y > /tmp/y")
                #expect(inside.lines.first == "mine" && inside.lines.last != "0", "\(inside)")
                // By a name too, of a link as well.
                Host.outside(
                    "mkdir -p '\(desk.path)/catalog/images' && ln -s '\(image)' '\(desk.path)/catalog/images/box'")
                let named = desk.around(
                    "CARREL_PROFILES='\(desk.path)/catalog' exec \"$CARREL\" run --image box -- cat /etc/mark")
                #expect(named.output == "mine", "\(named)")
                #expect(try desk.lastReport()["image"]?.string == "box")
                // An image is used by many: nothing is made in it, not even a mount point.
                #expect(Host.outside("find '\(image)' -printf '%p %m %T@ %U %s\\n' | sort").output == before)
            }
        }

        @Test(.enabled(if: Host.has("busybox"), "needs busybox-static"), arguments: ["/", ".."])
        func anImageIsNamedOnPurpose(name: String) throws {
            try withDesk { desk in
                let inside = desk.sh(["--image", name], "echo started")
                #expect(inside.status == 125 && inside.output.isEmpty && !inside.errors.isEmpty, "\(inside)")
            }
        }

        /// CVE-2026-41579, CVE-2026-47766, CVE-2023-27561, CVE-2023-28642, CVE-2021-30465: a place of the image where a
        /// filesystem is to be mounted is a symbolic link, to the host or elsewhere in the image.
        @Test(
            .enabled(if: Host.has("busybox"), "needs busybox-static"),
            arguments: ["dev", "proc", "tmp", "home", "workspace"])
        func anImagesLinksLeadNowhere(name: String) throws {
            try withDesk { desk in
                let trap = try desk.directory("trap")
                let work = try desk.directory("work")
                for target in [trap, "../../../../../..\(trap)", "/etc"] {
                    let image = try Self.image(desk, "rm -rf \(name); ln -sfn '\(target)' \(name)")
                    let inside = desk.sh(
                        ["--image", image, "--workdir", work],
                        "test -c /dev/null && test -r /proc/self/status && echo x > /tmp/made; echo done")
                    // Either it refuses, or everything is where it should be; in no case is the host's tree touched.
                    #expect(inside.status == 125 || inside.output == "done" && inside.errors.isEmpty, "\(inside)")
                    #expect(Host.outside("find '\(trap)' -mindepth 1").output == "", "\(name) -> \(target)")
                    #expect(Host.outside("ls '\(image)'/etc").output == "", "\(name) -> \(target)")
                    Host.outside("rm -rf '\(image)'")
                }
            }
        }

        /// CVE-2025-31133, CVE-2025-52565: the image's own /dev/null, /dev/console and ptmx are taken for the kernel's.
        @Test(.enabled(if: Host.has("busybox"), "needs busybox-static"))
        func cve2025_31133_theImagesDevicesAreNotUsed() throws {
            try withDesk { desk in
                let image = try Self.image(
                    desk,
                    "mkdir -p dev/pts dev/shm && echo planted | tee dev/null dev/console dev/ptmx dev/pts/ptmx dev/shm/x"
                )
                let inside = desk.sh(
                    ["--image", image],
                    "cat /dev/null /proc/keys /dev/shm/x 2>/dev/null; test -c /dev/null && echo device")
                #expect(inside.output == "device", "\(inside)")
                let linked = try desk.directory("target")
                Host.outside(
                    "cd '\(image)' && rm -r dev && mkdir dev && ln -s '\(linked)/made' dev/null && ln -s '\(linked)/made' dev/console"
                )
                #expect(desk.sh(["--image", image], "test -c /dev/null && echo device").output == "device")
                #expect(Host.outside("ls -A '\(linked)'").output == "")
            }
        }

        @Test(arguments: ["/", "/proc", "/proc/sys/kernel", "/proc/self/fd", "/dev", "/dev/null", "/workspace/../proc"])
        func aMountCannotShadowWhatIsCarrels(target: String) throws {
            try withDesk { desk in
                let shared = try desk.directory("shared")
                let profile = try desk.profile("shadow", "mounts:\n  - {source: \(shared), target: \(target)}")
                let refused = desk.sh(["--profile", profile], "echo started")
                #expect(refused.status == 125 && refused.output.isEmpty && !refused.errors.isEmpty, "\(refused)")
            }
        }

        @Test func anImageThatIsNotThereIsNamed() throws {
            try withDesk { desk in
                let inside = desk.sh(["--image", "/nowhere/at/all"], "echo started")
                #expect(inside.status == 125 && inside.errors.contains("/nowhere/at/all"), "\(inside)")
            }
        }

        @Test func aProfileCanMountFilesAndDirectories() throws {
            try withDesk { desk in
                try desk.write("of the host", to: "shared/file")
                let profile = try desk.profile(
                    "mounted",
                    """
                    mounts:
                      - {source: \(desk.path)/shared, target: /opt/shared}
                      - {source: \(desk.path)/shared/file, target: /opt/one}
                      - {source: \(desk.path)/shared, target: /opt/writable, access: read-write}
                      - {source: /nowhere/at/all, target: /opt/none, optional: true}
                    """)
                let inside = desk.sh(
                    ["--profile", profile],
                    """
                    cat /opt/shared/file; echo; cat /opt/one; echo
                    for place in /opt/shared/x /opt/one /opt/writable/x; do (echo x > $place) 2>/dev/null && echo $place; done
                    ls -A /opt
                    """)
                #expect(inside.lines.starts(with: ["of the host", "of the host"]), "\(inside)")
                #expect(inside.lines.dropFirst(2).first == "/opt/writable/x" && inside.lines.count == 6, "\(inside)")
                let missing = try desk.profile("missing", "mounts:\n  - {source: /nowhere/at/all, target: /opt/none}")
                let refused = desk.sh(["--profile", missing], "echo started")
                #expect(refused.status == 125 && refused.errors.contains("/nowhere/at/all"), "\(refused)")
            }
        }

        @Test func theSpecCanBePrinted() throws {
            try withDesk { desk in
                let printed = desk.carrel(["spec", "--", "true"])
                try #require(printed.status == 0, "\(printed)")
                let spec = try desk.parse(printed.output)
                #expect(spec.at("process.noNewPrivileges")?.bool == true)
                #expect(spec.at("root.readonly")?.bool == true)
                #expect(spec.at("process.args")?.elements?.first?.string == "true")
                #expect((spec.at("linux.namespaces")?.elements?.count ?? 0) >= 7)
            }
        }
    }
}
