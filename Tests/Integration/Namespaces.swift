import Foundation
import Testing

extension Integration {
    /// Part 1: seven namespaces, for root and for an ordinary user.
    @Suite struct Namespaces {
        static let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]

        @Test(arguments: Host.isRoot ? [false, true] : [false]) func everyNamespaceIsNew(ordinary: Bool) throws {
            let script = "for n in \(Self.kinds.joined(separator: " ")); do readlink /proc/self/ns/$n; done"
            let outside = Host.outside(script).lines
            try #require(outside.count == Self.kinds.count)
            try withDesk(ordinary: ordinary) { desk in
                let inside = desk.sh([], script)
                try #require(inside.status == 0 && inside.lines.count == Self.kinds.count, "\(inside)")
                for (kind, pair) in zip(Self.kinds, zip(outside, inside.lines)) {
                    #expect(pair.0 != pair.1, "the \(kind) namespace is the host's")
                }
            }
        }

        @Test func twoSessionsShareNoNamespace() throws {
            let script = "for n in \(Self.kinds.joined(separator: " ")); do readlink /proc/self/ns/$n; done"
            try withDesk { desk in
                // Alive at the same time: the kernel gives a number again once nobody has it.
                let file = try desk.directory("work") + "/ns"
                let first = try desk.detached(
                    ["--workdir", desk.path + "/work"], "(\(script)) > ns.new; mv ns.new ns; sleep 600",
                    session: "first")
                try #require(eventually { FileManager.default.fileExists(atPath: file) })
                let second = desk.sh([], script)
                #expect(
                    Set(desk.read("work/ns").split(separator: "\n").map(String.init)).isDisjoint(with: second.lines))
                #expect(desk.carrel(["kill", first, "--signal", "KILL"]).status == 0)
            }
        }

        @Test func theHostsProcessesAreNotThere() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [], "print(*sorted(int(n) for n in os.listdir('/proc') if n.isdigit()), os.getpid())")
                let pids = inside.output.split(separator: " ").compactMap { Int($0) }
                // carrel-init, and the program itself.
                #expect(pids.count == 3 && pids.first == 1, "\(inside)")
                #expect(desk.sh([], "kill -0 \(getpid())").status != 0)
            }
        }

        @Test func thePayloadIsNotInit() throws {
            try withDesk { desk in
                let inside = desk.sh([], "echo $$; cat /proc/1/comm")
                #expect(inside.lines.first != "1")
                #expect(inside.lines.last?.hasPrefix("carrel") == true, "\(inside)")
            }
        }

        /// What PID 1 was called with: paths and names of the host.
        @Test func initTellsNothingOfTheHost() throws {
            try withDesk { desk in
                let work = try desk.directory("work")
                let inside = desk.python(
                    ["--workdir", work, "--report", desk.path + "/r.json"],
                    "import time\nfor _ in range(100): print(open('/proc/1/cmdline').read()); time.sleep(0.01)")
                #expect(inside.status == 0 && !inside.output.contains(desk.path), "\(inside.lines.first ?? "")")
            }
        }

        @Test func loopbackIsAllThereIs() throws {
            try withDesk { desk in
                let inside = desk.python(
                    [],
                    """
                    print(*[name for _, name in socket.if_nameindex()])
                    server = socket.create_server(('127.0.0.1', 0))
                    client = socket.create_connection(server.getsockname())
                    server.accept()[0].send(b'up')
                    print(client.recv(2).decode())
                    print(attempt(socket.create_connection, ('192.0.2.1', 80), 2))
                    """)
                #expect(inside.lines == ["lo", "up", "ENETUNREACH"], "\(inside)")
            }
        }

        @Test func aServerOfTheHostIsOutOfReach() throws {
            let server = Command([
                Host.python, "-c",
                "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); time.sleep(60)",
            ])
            defer { server.signal(SIGKILL) }
            try #require(eventually { !server.output.isEmpty })
            let connect =
                "print(attempt(lambda: socket.create_connection(('127.0.0.1', \(server.output)), 2) and 'connected'))"
            try withDesk { desk in
                #expect(desk.pythonOutside(connect).output == "connected")
                #expect(desk.python([], connect).output == "ECONNREFUSED")
            }
        }

        @Test func anAbstractSocketOfTheHostIsOutOfReach() throws {
            let name = "carrel-test-\(getpid())"
            let server = Command([
                Host.python, "-c",
                "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0\(name)'); s.listen(9); print('up', flush=True); time.sleep(60)",
            ])
            defer { server.signal(SIGKILL) }
            try #require(eventually { server.output == "up" })
            let connect =
                "s = socket.socket(socket.AF_UNIX); print(attempt(lambda: s.connect('\\0\(name)') or 'connected'))"
            try withDesk { desk in
                #expect(desk.pythonOutside(connect).output == "connected")
                #expect(desk.python([], connect).output == "ECONNREFUSED")
            }
        }

        @Test func sharedMemoryOfTheHostIsOutOfReach() throws {
            let made = Host.outside("ipcmk -M 4096")
            let id = try #require(made.output.split(separator: " ").last)
            defer { Host.outside("ipcrm -m \(id)") }
            // shmctl(IPC_STAT) by its id, and the list that the kernel shows.
            let look = "print('\(id)' in open('/proc/sysvipc/shm').read().split())"
            try withDesk { desk in
                #expect(desk.pythonOutside(look).output == "True")
                #expect(desk.python([], look).output == "False")
            }
        }

        @Test func theHostNameIsItsOwn() throws {
            try withDesk { desk in
                let inside = desk.sh([], "uname -n")
                #expect(inside.status == 0 && inside.output != Host.outside("uname -n").output, "\(inside)")
            }
        }

        @Test(.enabled(if: Host.isRoot, "gives ids to tenants only as root")) func everyTenantHasIDsOfItsOwn() throws {
            func first(_ outcome: Outcome) -> Int? {
                let fields = outcome.output.split(separator: " ").compactMap { Int($0) }
                return fields.count == 3 && fields[0] == 0 && fields[2] == 65_536 ? fields[1] : nil
            }
            try withDesk { desk in
                let ranges = ["acme", "globex", "acme"].map {
                    first(desk.run(["--tenant", $0], ["cat", "/proc/self/uid_map"]))
                }
                #expect(ranges[0] != nil && ranges[1] != nil)
                #expect(ranges[0] == ranges[2], "a tenant's range changed")
                #expect(ranges[0] != ranges[1], "two tenants have one range")
                // A tenant whose directory is gone may still own files: its range is nobody else's.
                Host.outside("rm -rf '\(desk.state)/tenants/globex'")
                let next = first(desk.run(["--tenant", "initech"], ["cat", "/proc/self/uid_map"]))
                #expect(next != nil && !ranges.contains(next))
            }
        }

        @Test(.enabled(if: Host.isRoot, "looks at host ids as root")) func noProcessOfASessionHasAHostID() throws {
            try withDesk { desk in
                let session = try desk.detached(session: "ids")
                let pids = Host.cgroups(of: "default").filter { $0.hasSuffix("/ids") }
                    .flatMap { Host.outside("cat \($0)/cgroup.procs").lines }
                try #require(!pids.isEmpty)
                for pid in Set(pids) {
                    let ids = Host.outside("grep -E '^(Uid|Gid):' /proc/\(pid)/status").output
                        .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
                    #expect(ids.count == 8 && ids.allSatisfy { $0 >= 65_536 }, "\(pid): \(ids)")
                }
                desk.carrel(["kill", session, "--signal", "KILL"])
            }
        }

        /// CVE-2014-8989: a group that takes rights away must not be left behind by setgroups(2).
        @Test(.enabled(if: Host.isRoot, "starts it as another user")) func cve2014_8989_setgroupsIsDenied() throws {
            try withDesk(ordinary: true) { desk in
                let inside = desk.python(
                    [], "print(open('/proc/self/setgroups').read().strip(), attempt(os.setgroups, [0]))")
                #expect(inside.output == "deny EPERM", "\(inside)")
            }
        }

        /// Also at once after the start, when PID 1 has not executed its own program yet.
        @Test(.enabled(if: Host.isRoot, "starts it as another user")) func anOrdinaryUserEntersItsSession() throws {
            try withDesk(ordinary: true) { desk in
                for number in 1...3 {
                    let session = try desk.detached(session: "entered-\(number)")
                    let entered = desk.carrel(["exec", session, "--", "id", "-u"])
                    #expect(entered.status == 0 && entered.output == "1000", "\(entered)")
                    #expect(desk.carrel(["kill", session]).status == 0)
                }
            }
        }

        @Test(.enabled(if: Host.isRoot, "starts it as another user")) func anOrdinaryUserWorksInItsTree() throws {
            try withDesk(ordinary: true) { desk in
                let work = try desk.directory("work")
                let inside = desk.sh(["--workdir", work], "id -u; echo mine > made; cat made")
                #expect(inside.status == 0 && inside.lines == ["1000", "mine"], "\(inside)")
                let attributes = try FileManager.default.attributesOfItem(atPath: work + "/made")
                #expect(attributes[.ownerAccountID] as? UInt32 == Host.ordinaryID)
            }
        }

        /// As in a directory of its group's: what stands for missing protected files is the user's own.
        @Test(.enabled(if: Host.isRoot, "starts it as another user")) func anOrdinaryUserWorksInATreeOfOthers() throws {
            try withDesk(ordinary: true) { desk in
                let work = try desk.directory("work")
                chown(work, 0, 0)
                chmod(work, 0o777)
                for _ in 1...2 {
                    let inside = desk.sh(["--workdir", work], "touch made; mkdir .git/hooks || echo refused")
                    #expect(inside.status == 0 && inside.output == "refused", "\(inside)")
                    #expect(Host.outside("ls -A '\(work)'").output == "made")
                }
            }
        }
    }
}
