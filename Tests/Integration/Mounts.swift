import Documents
import Foundation
import Glibc
import Testing

extension Integration {
    /// `--mount`: a host's path beside the profile's own, and nothing that a profile could not show.
    @Suite struct Mounts {
        @Test func itShowsAPathOfTheHost() throws {
            try withDesk { desk in
                try desk.write("read me", to: "data/file")
                try desk.write("#!/bin/sh\necho ran\n", to: "data/run", mode: 0o755)
                try desk.write("one", to: "single")
                let drop = try desk.directory("drop")
                let inside = desk.sh(
                    [
                        "--mount", desk.path + "/data:/data", "--mount", "\(drop)/:/srv/drop:rw", "--mount",
                        desk.path + "/single:/home/agent/single:ro",
                    ],
                    """
                    cat /data/file /home/agent/single; echo
                    (echo x > /data/file; echo x > /data/new; echo x > /home/agent/single) 2>/dev/null && echo written
                    /data/run
                    echo made > /srv/drop/made && cp /data/run /srv/drop/run && chmod +x /srv/drop/run
                    /srv/drop/run 2>/dev/null || echo not executable
                    """)
                #expect(inside.lines == ["read meone", "ran", "not executable"], "\(inside)")
                #expect(desk.read("drop/made") == "made\n" && desk.read("data/file") == "read me")
                // Who reads the report or the specification sees it too.
                let notes = try desk.lastReport()["notes"]?.elements?.compactMap(\.string) ?? []
                #expect(notes.contains("--mount: \(drop) at /srv/drop, read-write"), "\(notes)")
                let spec = try desk.parse(
                    desk.carrel(["spec", "--mount", desk.path + "/data:/data", "--", "true"]).output)
                let mount = spec["mounts"]?.elements?.first { $0["destination"]?.string == "/data" }
                #expect(mount?["source"]?.string == desk.path + "/data", "\(spec.json())")
            }
        }

        @Test func itCoversAndOpensNothingOfTheSessions() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                try desk.write("secret", to: "work/.env")
                try desk.write("x", to: "other/file")
                for (link, target) in [("proc", "/proc"), ("root", "/"), ("state", desk.state), ("work.link", work)] {
                    symlink(target, desk.path + "/" + link)
                }
                let other = desk.path + "/other"
                for mount in [
                    "\(other):/proc", "\(other):/proc/self", "\(other):/sys/kernel", "\(other):/dev/null",
                    "\(other):/etc",
                    "\(other)/file:/etc/passwd", "\(other):/usr/bin", "\(other):/lib", "\(other):/", "\(other):/tmp",
                    "\(other):/home/agent", "\(other):/home/agent/.claude", "\(other):/home/agent/.claude/hooks:rw",
                    "\(other):/workspace", "\(other)/file:/workspace/.env", "\(other):/run/carrel/x",
                    "\(other):/x/../proc", "\(other):relative", "\(other)", "\(other):/x:suid", ":/x", "/:/x",
                    "/proc:/x",
                    "/dev:/x", "/sys/fs/cgroup:/x:rw", "\(desk.path)/none:/x", "\(desk.path)/proc:/x",
                    "\(desk.path)/root:/x",
                    // The state of all tenants, and the workdir past what is protected in it.
                    "\(desk.state):/x", "\(desk.state)/tenants:/x:rw", "\(desk.path):/x",
                    "\(desk.path)/state/gateway:/x",
                    "\(work):/x:rw", "\(work)/.env:/x", "\(desk.path)/work.link:/x",
                ] {
                    let inside = desk.sh(
                        [
                            "--profile", "claude-code", "--network", "none", "--workdir", work, "--mount", mount,
                            "--session", "never",
                        ],
                        "echo started")
                    #expect(
                        inside.status == 125 && inside.output.isEmpty && inside.errors.contains("mount"),
                        "\(mount): \(inside)")
                }
                #expect(desk.read("state/ledger.jsonl").isEmpty, "one of them has started")
            }
        }

        /// Someone who writes beside the source turns it into a link between the look at it and the mount.
        @Test func aSourceThatBecomesALinkLeadsNowhere() throws {
            try withDesk { desk in
                try desk.write("harmless", to: "shared/data/file")
                try desk.write("SECRET", to: "secret/file")
                symlink(desk.path + "/secret", desk.path + "/shared/link")
                let swapping = Command([
                    Host.python, "-c",
                    """
                    import ctypes, os
                    os.chdir('\(desk.path)/shared')
                    libc = ctypes.CDLL(None)
                    print('up', flush=True)
                    while True: libc.renameat2(-100, b'data', -100, b'link', 2)
                    """,
                ])
                defer {
                    swapping.signal(SIGKILL)
                    _ = swapping.finish()
                }
                try #require(eventually { swapping.output == "up" })
                for _ in 0..<60 {
                    // Refused where it is a link at that moment, by whichever look; or the directory itself is shown.
                    let inside = desk.sh(["--mount", desk.path + "/shared/data:/data"], "cat /data/file")
                    #expect(inside.output == "harmless" || inside.status == 125 && inside.output.isEmpty, "\(inside)")
                }
            }
        }
    }
}
