import Foundation
import Testing

extension Integration {
    /// Part 3, second half: files of the workdir that a session may not change, make or read.
    @Suite struct ProtectedFiles {
        /// A working tree as git makes one.
        static func repository(_ desk: Desk, _ more: String = "") throws -> String {
            let work = try desk.directory("work")
            let made = Host.outside(
                """
                cd '\(work)' && git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first \
                && echo keep > src.txt && \(more.isEmpty ? "true" : more)
                """)
            try #require(made.status == 0, "\(made)")
            return work
        }

        static func tree(_ work: String) -> [String] {
            Host.outside("cd '\(work)' && find . -name objects -prune -o -printf '%p %y %m %U:%G %s\\n' | sort").lines
        }

        static func isThere(_ name: String, _ desk: Desk) -> Bool {
            FileManager.default.fileExists(atPath: desk.path + "/" + name)
        }

        static let claude = ["--profile", "claude-code", "--network", "none"]

        @Test(arguments: [
            ".git/hooks/pre-commit", ".git/config", ".git/hooks/post-checkout", ".claude/settings.json",
            ".claude/settings.local.json", ".mcp.json", ".envrc", ".bashrc", ".profile", ".zshrc",
        ])
        func aProtectedFileCannotBeWrittenOrMade(name: String) throws {
            try withDesk { desk in
                let work = try Self.repository(desk)
                let before = Self.tree(work)
                let inside = desk.python(
                    Self.claude + ["--workdir", work],
                    """
                    def write():
                        os.makedirs(os.path.dirname('/workspace/\(name)'), exist_ok=True)
                        with open('/workspace/\(name)', 'a') as file: file.write('evil')
                    print(attempt(write))
                    open('/workspace/src.txt', 'a').write('more')
                    """)
                #expect(["EROFS", "EACCES", "EPERM"].contains(inside.output), "\(inside)")
                // The rest of the tree can be worked on, and there is no ghost of what was protected.
                #expect(desk.read("work/src.txt") == "keep\nmore")
                let after = Self.tree(work)
                #expect(
                    after.map { $0.hasPrefix("./src.txt") ? "" : $0 }
                        == before.map { $0.hasPrefix("./src.txt") ? "" : $0 })
            }
        }

        /// Another session can take it away between the look through the workdir and the mounts.
        @Test(.enabled(if: Host.isRoot && Host.has("strace"), "needs root and strace"))
        func aProtectedFileThatIsGoneByThenRefusesTheStart() throws {
            try withDesk { desk in
                let work = try Self.repository(desk)
                let outcome = desk.around(
                    """
                    strace -f -qq -o /dev/null -e trace=openat2 -P /workspace/.envrc -e inject=openat2:error=ENOENT \
                    "$CARREL" run --workdir '\(work)' -- true
                    """)
                #expect(outcome.status == 125 && outcome.errors.contains("/workspace/.envrc"), "\(outcome)")
                #expect(!Self.isThere("work/.envrc", desk))
            }
        }

        @Test(arguments: [
            "os.rename('.git', '.git2')", "os.rename('.git/hooks', 'hooks')", "os.rename('.git/config', 'config')",
            "os.unlink('.git/config')", "os.link('evil', '.git/hooks/pre-commit')",
            "os.symlink('../../evil', '.git/hooks/pre-commit')",
            "os.rename('evil', '.git/config')", "os.rename('evil', '.mcp.json')", "os.chmod('.git/config', 0o777)",
            "os.rmdir('.git/hooks')", "os.rename('.claude', '.claude2')", "os.symlink('evil', '.envrc')",
            "os.truncate('.git/config', 0)", "os.utime('.git/config')", "os.mkdir('.git/hooks/x')",
            "os.open('/proc/self/root/workspace/.git/config', os.O_WRONLY)",
            "os.open('/proc/1/root/workspace/.git/config', os.O_WRONLY)",
            "os.open('/proc/self/cwd/.git/config', os.O_RDWR)",
        ])
        func noOtherWayLeadsToOne(attack: String) throws {
            try withDesk { desk in
                let work = try Self.repository(desk, "echo evil > evil")
                let before = Self.tree(work)
                let inside = desk.python(Self.claude + ["--workdir", work], "print(attempt(lambda: \(attack)))")
                #expect(
                    ["EROFS", "EACCES", "EPERM", "EBUSY", "EXDEV", "ENOENT", "EEXIST", "ENOTEMPTY"].contains(
                        inside.output), "\(inside)")
                #expect(Self.tree(work) == before)
                // The same works outside, where nothing protects it, unless it is about the session's own paths.
                if !attack.contains("/proc") && !attack.contains(".claude") && !attack.contains("link('evil', '.git") {
                    let outside = Host.outside([
                        "/usr/bin/env", "-C", work, Host.python, "-c",
                        Desk.prelude + "print(attempt(lambda: \(attack)))",
                    ])
                    #expect(outside.output == "None" || attack.contains("rmdir"), "\(outside)")
                }
            }
        }

        @Test func gitWorks() throws {
            try withDesk { desk in
                let work = try Self.repository(desk)
                let inside = desk.sh(
                    Self.claude + ["--workdir", work],
                    "git status --short && git add . && git -c user.name=a -c user.email=a@b commit -qm second && git log --oneline | wc -l"
                )
                #expect(inside.lines.last == "2" && inside.status == 0, "\(inside)")
                #expect(Host.outside("git -c safe.directory='*' -C '\(work)' log --oneline | wc -l").output == "2")
            }
        }

        /// A configuration that git reads in the place of, or after, the protected one runs programs at the host's `git status`.
        @Test(arguments: [".", "nested"])
        func gitReadsNoOtherConfiguration(_ repository: String) throws {
            try withDesk { desk in
                let work = try Self.repository(
                    desk,
                    """
                    git init -q nested && git -C nested -c user.name=a -c user.email=a@b commit -q --allow-empty -m n \
                    && git -C \(repository) config extensions.worktreeConfig true
                    """)
                let before = Self.tree(work)
                let inside = desk.sh(
                    Self.claude + ["--workdir", work],
                    """
                    cd \(repository) && cp -r .git evil && rm -f evil/commondir evil/config.worktree
                    printf '[core]\\n\\tfsmonitor = "touch %s; false"\\n' '\(desk.path)/ran' >>evil/config
                    cp evil/config settings; echo ../evil >lure
                    for name in commondir:lure config.worktree:settings; do
                        from=${name#*:}; to=.git/${name%:*}
                        cp $from $to && echo copied; rm $to && echo removed; mv -f $from $to && echo moved; ln -f $from $to && echo linked
                    done 2>/dev/null
                    test -s evil/config && rm -f settings lure && git status --short && git log --oneline | wc -l
                    """)
                #expect(inside.status == 0 && inside.lines.first == "?? evil/" && inside.lines.last == "1", "\(inside)")
                let status = Host.outside("git -c safe.directory='*' -C '\(work)/\(repository)' status --short")
                #expect(status.status == 0 && !Self.isThere("ran", desk), "\(status)")
                try FileManager.default.removeItem(atPath: work + "/\(repository)/evil")
                #expect(Self.tree(work) == before)
            }
        }

        /// A directory without a repository becomes a bare one by what lies in it.
        @Test(arguments: [false, true])
        func noWorkdirBecomesABareRepository(isThere: Bool) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                if isThere { _ = try desk.detached(Self.claude + ["--workdir", work], session: "other") }
                let inside = desk.sh(
                    Self.claude + ["--workdir", work],
                    """
                    mkdir objects refs
                    printf '[core]\\n\\tbare = false\\n\\tworktree = .\\n\\tfsmonitor = "touch %s; false"\\n' '\(desk.path)/ran' >config
                    (echo 'ref: refs/heads/x' >HEAD; rm -f HEAD; mv config HEAD) 2>/dev/null; wc -c <HEAD
                    """)
                #expect(inside.lines == ["0"], "\(inside)")
                if isThere { desk.carrel(["kill", "other"]) }
                #expect(Self.tree(work).filter { $0.contains("HEAD") }.isEmpty)
                Host.outside("git -c safe.directory='*' -C '\(work)' status --short")
                #expect(!Self.isThere("ran", desk))
            }
        }

        /// New files are the workdir's owner's, root's it may be: one with S_ISUID would run as that one whoever starts it.
        @Test(.enabled(if: Host.isX86, "numbers of x86-64")) func nobodyLeavesASetuidFile() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.python(
                    ["--workdir", work],
                    """
                    open('file', 'w').close()
                    fd = os.open('file', os.O_RDONLY)
                    how = struct.pack('QQQ', os.O_CREAT | os.O_RDWR, 0o4755, 0)
                    for attack in [
                        lambda: os.chmod('file', 0o4755), lambda: os.fchmod(fd, 0o6755),
                        lambda: os.chmod('file', 0o4755, dir_fd=os.open('.', os.O_RDONLY)),
                        lambda: os.open('new', os.O_CREAT | os.O_RDWR, 0o4755),
                        lambda: os.open('.', os.O_TMPFILE | os.O_RDWR, 0o4755),
                        lambda: os.mknod('node', 0o104755),
                    ]: print(attempt(attack))
                    for numbers in [(2, b'a', 66, 0xbeef0000_0dff), (85, b'b', 0x1_0000_0800), (437, -100, b'c', how, 24),
                                    (452, -100, b'file', 0o4755, 0)]:
                        print(call(*numbers))
                    os.chmod('file', 0o2755)
                    os.close(os.open('plain', os.O_CREAT | os.O_RDWR, 0o755))
                    """)
                #expect(Set(inside.lines) == ["EPERM", "ENOSYS"] && inside.lines.count == 10, "\(inside)")
                #expect(Host.outside("find '\(work)' -perm /4000").output == "" && Self.isThere("work/plain", desk))
            }
        }

        /// CVE-2026-25725: the settings of the next session, made by this one where they were missing.
        @Test func cve2026_25725_missingFilesCannotBeMade() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.sh(
                    Self.claude + ["--workdir", work],
                    "mkdir -p .claude .git/hooks; echo x > .claude/settings.json; echo x > .mcp.json; echo x > .git/hooks/pre-commit; echo x > made; true"
                )
                #expect(inside.status == 0)
                #expect(
                    Host.outside("cd '\(work)' && find . -mindepth 1 | sort").lines == ["./made"], "a ghost is left")
            }
        }

        /// CVE-2026-39861: a link in the place of a protected file leads the protection away.
        @Test(arguments: [".git", ".mcp.json", ".claude"]) func cve2026_39861_linksAreRefused(name: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("x", to: "elsewhere/config")
                Host.outside("ln -s ../elsewhere '\(work)/\(name)'")
                let inside = desk.sh(Self.claude + ["--workdir", work], "echo started")
                #expect(inside.status == 125 && inside.output.isEmpty, "\(inside)")
                #expect(inside.errors.contains(name), "\(inside)")
                #expect(Host.outside("ls -A '\(work)'").lines == [name])
            }
        }

        @Test func aWorktreesPointerIsProtected() throws {
            try withDesk { desk in
                let work = try Self.repository(desk, "git worktree add -q ../tree")
                let before = desk.read("tree/.git")
                let inside = desk.python(
                    Self.claude + ["--workdir", desk.path + "/tree"], "print(attempt(lambda: open('.git', 'w')))")
                #expect(["EROFS", "EACCES", "EPERM"].contains(inside.output), "\(inside)")
                #expect(desk.read("tree/.git") == before && before.contains(work))
            }
        }

        @Test func twoSessionsInOneTree() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let first = try desk.detached(Self.claude + ["--workdir", work], session: "first")
                #expect(desk.sh(Self.claude + ["--workdir", work], "echo x > .mcp.json").status != 0)
                // The second has ended: what it shared with the first is still needed.
                #expect(desk.carrel(["exec", first, "--", "sh", "-c", "echo x > .mcp.json"]).status != 0)
                #expect(desk.carrel(["kill", first, "--signal", "KILL"]).status == 0)
                #expect(eventually { Host.outside("ls -A '\(work)'").output == "" }, "a ghost is left")
            }
        }

        @Test func whatWasMadeIsRemovedAfterACrash() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let running = desk.start(carrel: ["run"] + Self.claude + ["--workdir", work, "--", "sleep", "600"])
                try #require(eventually { FileManager.default.fileExists(atPath: work + "/.mcp.json") })
                running.signal(SIGKILL)
                _ = running.finish()
                desk.carrel(["ps"])
                #expect(Host.outside("ls -A '\(work)'").output == "", "a ghost is left")
            }
        }

        /// What stands for missing paths is used again by other sessions, as far as nobody has touched it.
        @Test func whatTheHostDoesToOneIsNotPassedOn() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let first = try desk.detached(Self.claude + ["--workdir", work], session: "first")
                let touched = Host.outside(
                    """
                    cd '\(work)' && echo mine > .vscode/settings.json && chmod 777 .husky && \
                    \(Host.python) -c 'import os; os.setxattr(".idea", "user.note", b"mine")'
                    """)
                try #require(touched.status == 0, "\(touched)")
                #expect(desk.carrel(["kill", first, "--signal", "KILL"]).status == 0)
                #expect(eventually { Host.outside("ls -A '\(work)'").lines == [".vscode"] }, "a ghost is left")
                #expect(desk.read("work/.vscode/settings.json") == "mine\n")
                // Sessions take what the process number of their supervisor leads them to: eight cover all of it.
                for _ in 0..<8 {
                    let other = try desk.directory("other")
                    let inside = desk.python(
                        Self.claude + ["--workdir", other],
                        """
                        for name in ('.vscode', '.husky', '.idea', '.claude', '.git'):
                            print(name, oct(os.stat(name).st_mode & 0o7777), os.listdir(name), os.listxattr(name))
                        print(os.stat('.envrc').st_size)
                        """)
                    let blank = [".vscode", ".husky", ".idea", ".claude", ".git"].map { "\($0) 0o755 [] []" }
                    #expect(inside.lines == blank + ["0"], "\(inside)")
                    #expect(Host.outside("ls -A '\(other)'").output == "")
                }
            }
        }

        /// A profile that protects and denies nothing.
        static func bare(_ desk: Desk) throws -> [String] {
            let profile = "version: 1\nimage: host\nseccomp: agent-default\nlimits: {memory: 256MiB, pids: 64}\n"
            return ["--profile", try desk.write(profile, to: "profiles/bare.yaml")]
        }

        /// What was made for one session is not another's to write into, whose profile protects nothing.
        @Test func whatWasMadeForOneSessionIsReadOnlyForAll() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let first = try desk.detached(["--workdir", work], session: "first")
                let inside = desk.python(
                    try Self.bare(desk) + ["--workdir", work],
                    """
                    print(attempt(lambda: open('.vscode/tasks.json', 'w')), attempt(lambda: open('.envrc', 'w')))
                    print(attempt(os.rename, '.vscode', 'v'), attempt(os.rmdir, '.idea'), attempt(os.unlink, '.mcp.json'))
                    open('made', 'w')
                    """)
                #expect(inside.lines == ["EROFS EROFS", "EBUSY EBUSY EBUSY"], "\(inside)")
                #expect(desk.carrel(["kill", first, "--signal", "KILL"]).status == 0)
                #expect(eventually { Host.outside("ls -A '\(work)'").lines == ["made"] }, "a ghost is left")
            }
        }

        /// A session that stays in what was made for another one does not stay in what the next tenant gets.
        @Test(arguments: ["before", "after"]) func nobodyStaysInWhatOthersGet(starting: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let other = try desk.directory("other")
                let bare = try Self.bare(desk) + ["--tenant", "ta", "--workdir", work]
                let writer = """
                    until cd .vscode 2>/dev/null; do sleep 0.02; done; touch /workspace/inside
                    until [ -e /workspace/go ]; do sleep 0.02; done
                    while true; do echo evil > tasks.json; sleep 0.02; done 2>/dev/null
                    """
                if starting == "before" { _ = try desk.detached(bare, writer, session: "writer") }
                _ = try desk.detached(["--tenant", "ta", "--workdir", work], session: "first")
                if starting == "after" { _ = try desk.detached(bare, writer, session: "writer") }
                try #require(eventually { Self.isThere("work/inside", desk) })
                #expect(desk.carrel(["kill", "first", "--signal", "KILL"]).status == 0)
                try #require(eventually { !Self.isThere("state/sessions/first.json", desk) })
                try desk.write("", to: "work/go")
                for _ in 0..<12 {
                    let inside = desk.sh(
                        ["--tenant", "tb", "--workdir", other], "sleep 0.05; ls -A .vscode; cat .vscode/*; true")
                    #expect(inside.status == 0 && inside.output == "", "\(inside)")
                }
                #expect(desk.carrel(["kill", "writer", "--signal", "KILL"]).status == 0)
                #expect(eventually { !Self.isThere("state/sessions/writer.json", desk) })
                #expect(Host.outside("ls -A '\(other)'").output == "")
            }
        }

        /// A directory that protected files would be in, and that is missing, is nobody's to make.
        @Test(arguments: [".claude/commands", ".git/objects", ".vscode/x"])
        func aMissingDirectoryIsProtectedAsAWhole(name: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.python(
                    Self.claude + ["--workdir", work], "print(attempt(lambda: os.makedirs('\(name)')))")
                #expect(inside.output == "EROFS", "\(inside)")
                #expect(Host.outside("ls -A '\(work)'").output == "", "a ghost is left")
            }
        }

        @Test(arguments: [".env", ".env.production", "deep/er/.env", "id_ed25519", "server.pem"])
        func deniedFilesReadAsEmpty(name: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("secret of mine", to: "work/" + name)
                let inside = desk.sh(
                    Self.claude + ["--workdir", work],
                    """
                    cat '\(name)' '/proc/self/root/workspace/\(name)' 2>/dev/null
                    cp '\(name)' /tmp/copy 2>/dev/null; cat /tmp/copy 2>/dev/null
                    mv '\(name)' moved 2>/dev/null; cat moved 2>/dev/null
                    ln '\(name)' linked 2>/dev/null; cat linked 2>/dev/null
                    grep -rs 'secret of mine' . ; true
                    """)
                #expect(inside.status == 0 && inside.output == "", "\(inside)")
                #expect(desk.read("work/" + name) == "secret of mine")
            }
        }

        /// There is nothing to protect where nothing can be written, and nothing can be made to stand for what is missing.
        @Test(.enabled(if: Host.isRoot, "only root mounts"), arguments: [false, true])
        func aReadOnlyWorkdirIsLeftAsItIs(byProfile: Bool) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("secret", to: "work/.env")
                try desk.write("[core]", to: "work/.git/config")
                let profile = byProfile ? try desk.profile("mine", "workdir: {access: read-only}") : "default"
                let inside = desk.around(
                    """
                    exec unshare --mount bash -c '
                        mount --bind "$WORK" "$WORK"; \(byProfile ? "" : "mount -o remount,bind,ro \"$WORK\"")
                        "$CARREL" run --profile "$PROFILE" --workdir "$WORK" -- sh -c "
                            (echo x >.envrc; echo x >.git/config; mkdir x) 2>/dev/null; ls -A; cat .env .git/config"'
                    """, adding: ["WORK": work, "PROFILE": profile])
                #expect(inside.lines == [".env", ".git", "[core]"], "\(inside)")
            }
        }

        /// As where the workdir is the home of who calls: other tenants' settings and the filters of later sessions are in there.
        @Test(arguments: [false, true])
        func theStateDirectoryIsNotInTheWorkdir(ordinary: Bool) throws {
            try withDesk(ordinary: ordinary && Host.isRoot) { desk in
                symlink(desk.path, desk.path + "/home")
                for workdir in [desk.path, desk.path + "/home"] {
                    let inside = desk.sh(
                        ["--workdir", workdir],
                        "ls -A state; (echo x >state/ids; mv state gone; mkdir state/x; rmdir state) 2>/dev/null; ls -d state gone 2>/dev/null"
                    )
                    #expect(inside.lines == ["state"], "\(workdir): \(inside)")
                }
                for workdir in [desk.state, desk.state + "/tenants/default"] {
                    let inside = desk.sh(["--workdir", workdir], "echo started")
                    #expect(inside.status == 125 && inside.output.isEmpty, "\(inside)")
                    #expect(inside.errors.contains("state directory"), "\(inside)")
                }
            }
        }

        /// A denied file stays denied for the next session: the way to it cannot be renamed.
        @Test(arguments: [".docker/config.json", ".config/gcloud/key", "deep/er/.env"])
        func theWayToADeniedFileStaysWhereItIs(name: String) throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("secret of mine", to: "work/" + name)
                let top = String(name.prefix { $0 != "/" })
                let moving = desk.sh(
                    ["--workdir", work],
                    """
                    mv '\(top)' moved; cd '\(top)'; for name in *; do mv "$name" moved; done
                    for path in "$PWD"/*/; do mv "$path" ../moved; done
                    cd ..; mv '\(top)' moved; true
                    """)
                #expect(moving.status == 0, "\(moving)")
                let reading = desk.sh(["--workdir", work], "grep -rs 'secret of mine' . ; true")
                #expect(reading.status == 0 && reading.output == "", "\(reading)")
                #expect(desk.read("work/" + name) == "secret of mine")
            }
        }

        @Test func aReadOnlyWorkdirIsOne() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("x", to: "work/given")
                let profile = try desk.profile("reader", "workdir:\n  access: read-only")
                let inside = desk.python(
                    ["--profile", profile, "--workdir", work],
                    "print(open('given').read(), attempt(lambda: open('made', 'w')))")
                #expect(inside.output == "x EROFS", "\(inside)")
            }
        }
    }
}
