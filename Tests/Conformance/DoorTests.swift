import Foundation
import Glibc
import Testing

extension Conformance {
    /// `dev.carrel.egress`: the way out of a container's network.
    @Suite
    struct DoorTests {
        /// A gateway's state of its own, a profile that allows example.com, and that host on the loopback.
        private final class Doors {
            let place: String
            private let upstream: pid_t

            init() throws {
                place = makePlace("door")
                chmod(place, 0o711)
                for name in ["state", "profiles/session"] {
                    try FileManager.default.createDirectory(
                        atPath: "\(place)/\(name)", withIntermediateDirectories: true)
                }
                let serve = """
                    import http.server, os, socketserver
                    class Hello(http.server.BaseHTTPRequestHandler):
                        def do_GET(self):
                            self.send_response(200); self.end_headers(); self.wfile.write(b"hello " + self.path.encode())
                        def log_message(self, *_): pass
                    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
                    open("\(place)/new", "w").write(str(server.server_port)); os.rename("\(place)/new", "\(place)/port")
                    server.serve_forever()
                    """
                upstream = try spawn(["python3", "-c", serve], environment: ProcessInfo.processInfo.environment)
                try wait { FileManager.default.fileExists(atPath: "\(place)/port") }
                let port = try String(contentsOfFile: "\(place)/port", encoding: .utf8)
                try write(
                    "resolve:\n  example.com: \"127.0.0.1:\(port)\"\nprices: \(Self.prices)\n", "state/gateway.yaml")
                try write(
                    """
                    version: 1
                    extends: default
                    egress:
                      allow: [{id: hello, host: example.com, scheme: http, methods: [GET], paths: [/**]}]
                    """, "profiles/session/door.yaml")
            }

            deinit {
                for pid in gateways { kill(pid, SIGTERM) }
                kill(upstream, SIGKILL)
                waitpid(upstream, nil, 0)
                try? wait { gateways.isEmpty }
                try? FileManager.default.removeItem(atPath: place)
            }

            static let prices = "\(#filePath)".replacing(
                "Tests/Conformance/DoorTests.swift", with: "Profiles/prices/anthropic.json")

            private func write(_ text: String, _ name: String) throws {
                try text.write(toFile: "\(place)/\(name)", atomically: false, encoding: .utf8)
                chmod("\(place)/\(name)", 0o600)
            }

            var environment: [String: String] {
                ["CARREL_STATE": place + "/state", "CARREL_PROFILES": place + "/profiles"]
            }

            /// The gateways of this state.
            var gateways: [pid_t] {
                let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
                return all.compactMap { pid_t($0) }.filter { pid in
                    let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
                    return line.starts(with: Data("carrel-gateway\0serve\0--state\0\(place)/state".utf8))
                }
            }

            func oci(_ bundle: Bundle, _ words: String...) throws -> Outcome {
                try bundle.write()
                return try run([runtimePath, "--root", bundle.state] + words, environment: environment)
            }
        }

        /// A bundle whose network has one way out.
        private func bundle(_ script: String, profile: String = "door") throws -> Bundle {
            let bundle = try Bundle()
            symlink("busybox", "\(bundle.path)/rootfs/bin/wget")
            bundle.spec["annotations"] = ["dev.carrel.egress": profile]
            bundle.script(script)
            return bundle
        }

        @Test("what the profile allows goes out by the gateway, with and without a proxy, and nothing else does")
        func leaves() throws {
            let doors = try Doors()
            let bundle = try bundle(
                """
                wget -q -O - http://example.com/a 2>&1; echo
                unset http_proxy HTTP_PROXY
                wget -q -O - http://example.com/b 2>&1; echo
                wget -q -O - http://example.org/ 2>&1 | grep -o 'bad address'
                wget -q -O - http://1.2.3.4/ 2>&1 | grep -o ' 403 '
                cat /etc/resolv.conf | grep -c 127.0.0.1
                test -s /etc/ssl/certs/ca-certificates.crt && echo certificates
                ls /sys/class/net | sort; ls -A /run/carrel
                """)
            let outcome = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(
                outcome.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) } == [
                    "hello /a", "hello /b", "bad address", "403", "1", "certificates", "lo", "ca.pem",
                ], "\(outcome)")
            #expect(outcome.status == 0)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("it lasts from create to the end of the container, and the host keeps nothing of it")
        func lasts() throws {
            let doors = try Doors()
            let bundle = try bundle("wget -q -O - http://example.com/late > /dev/shm/out; sleep 1000")
            let created = try doors.oci(bundle, "create", "--bundle", bundle.path, "c")
            #expect(created.status == 0, "\(created)")
            /// How many sessions the gateway serves, and whether it says so.
            func serves(_ count: String) throws -> Bool {
                try run([carrelPath, "egress", "close", "--all"], environment: doors.environment).output
                    .contains("closed what \(count)")
            }
            #expect(try serves("1 session "))
            #expect(try doors.oci(bundle, "start", "c").status == 0)
            try wait("no answer came") {
                try doors.oci(bundle, "exec", "c", "cat", "/dev/shm/out").output == "hello /late"
            }
            #expect(try doors.oci(bundle, "delete", "--force", "c").status == 0)
            try wait("the gateway serves what is gone") { try serves("0 sessions") }
        }

        @Test("where another network leads out, or there is none of its own, it does not start")
        func otherNetworks() throws {
            let doors = try Doors()
            let bundle = try bundle("echo started")
            let place = try Bundle()
            place.change("linux") { linux in
                linux["namespaces"] = ["pid", "mount", "uts", "ipc", "network"].map { ["type": $0] }
            }
            try place.start("other")
            let pid = try #require(try place.pid("other"))
            let net = "/proc/\(pid)/ns/net"
            func join(_ network: [String: String]?) {
                bundle.change("linux") { linux in
                    linux["namespaces"] =
                        ["pid", "mount", "uts", "ipc"].map { ["type": $0] } + [network].compactMap { $0 }
                }
            }
            join(nil)
            let host = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(host.status != 0 && host.errors.contains("dev.carrel.egress") && host.errors.contains("host's"))
            // One that has the loopback alone will do, wherever it comes from.
            join(["type": "network", "path": net])
            let alone = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(alone.output == "started\n", "\(alone)")
            try run(["nsenter", "--net=\(net)", "ip", "link", "add", "eth0", "type", "veth", "peer", "eth1"])
            let device = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(device.status != 0 && device.errors.contains("found eth"), "\(device)")
            // Not by its name either, and what another container of that network has is as it was.
            func routes() throws -> String {
                try run(["nsenter", "--net=\(net)", "ip", "route", "show", "table", "all"]).output
            }
            try run(["nsenter", "--net=\(net)", "ip", "route", "flush", "table", "local", "type", "local", "0.0.0.0/0"])
            try run(["nsenter", "--net=\(net)", "ip", "link", "set", "eth0", "name", "gre0"])
            let before = try routes()
            let named = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(named.status != 0 && named.errors.contains("gre0"), "\(named)")
            #expect(try routes() == before && !before.isEmpty)
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test("a device that a hook brings is seen before the payload starts")
        func hookBringsDevice() throws {
            let doors = try Doors()
            let bundle = try bundle("echo started")
            let script =
                "p=$(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p'); exec nsenter --net=/proc/$p/ns/net ip link add eth0 type veth peer eth1"
            bundle.spec["hooks"] = ["createRuntime": [["path": "/bin/sh", "args": ["sh", "-c", script]]]]
            let outcome = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(outcome.status != 0 && outcome.errors.contains("found eth"), "\(outcome)")
            #expect(!outcome.output.contains("started"))
        }

        @Test(
            "what is no profile's name, or lets nothing out, is refused",
            arguments: [
                ("dor", "dor"), ("/etc/passwd", "name of a profile"), ("../door", "name of a profile"),
                ("strict", "lets nothing out"), ("", "name of a profile"),
            ])
        func badNames(profile: String, told: String) throws {
            let doors = try Doors()
            let bundle = try bundle("echo started", profile: profile)
            let outcome = try doors.oci(bundle, "run", "--bundle", bundle.path, "c")
            #expect(outcome.status != 0 && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.errors.contains("dev.carrel.egress") && outcome.errors.contains(told), "\(outcome)")
            #expect(bundle.leftovers(["c"]).isEmpty)
        }

        @Test(
            "podman starts containers with it, in a user namespace too",
            .enabled(if: access("/usr/bin/podman", X_OK) == 0, "needs podman"), .timeLimit(.minutes(2)))
        func podman() throws {
            let doors = try Doors()
            let podman = try EngineTests.Podman()
            defer { podman.clear() }
            // podman keeps its own environment from the runtime.
            let runtime = "\(doors.place)/runtime"
            let variables = doors.environment.map { "export \($0.key)='\($0.value)'\n" }.joined()
            try "#!/bin/sh\n\(variables)exec '\(runtimePath)' \"$@\"\n".write(
                toFile: runtime, atomically: false, encoding: .utf8)
            chmod(runtime, 0o755)
            for options in [[], ["--userns=auto"], ["--read-only", "--cap-drop=all", "--user=1000:1000"]] {
                let words =
                    ["run", "--cgroup-parent=/carrel/podman", "--rm", "--network=none"]
                    + ["--annotation", "dev.carrel.egress=door"] + options
                    + ["box", "busybox", "wget", "-q", "-O", "-", "http://example.com/\(options.count)"]
                let outcome = try run(
                    podman.prefix + ["podman", "--runtime", runtime] + words, environment: podman.environment, limit: 90
                )
                #expect(outcome.output == "hello /\(options.count)", "\(options): \(outcome)")
            }
        }

        @Test("containers of one name, of two engines, have a door each; of one network, one has it")
        func twoOfOneName() throws {
            let doors = try Doors()
            let bundles = try [bundle("sleep 1000"), bundle("sleep 1000")]
            for (number, bundle) in bundles.enumerated() {
                bundle.change("linux") { $0["cgroupsPath"] = "/carrel/oci/door-\(number)" }
                #expect(try doors.oci(bundle, "run", "--detach", "--bundle", bundle.path, "c").status == 0)
            }
            for bundle in bundles {
                let fetched = try bundle.oci("exec", "c", "wget", "-q", "-O", "-", "http://example.com/")
                #expect(fetched.output == "hello /", "\(fetched)")
            }
            let pid = try #require(try bundles[0].pid("c"))
            let beside = try bundle("echo started")
            beside.change("linux") { linux in
                linux["namespaces"] =
                    ["pid", "mount", "uts", "ipc"].map { ["type": $0] }
                    + [["type": "network", "path": "/proc/\(pid)/ns/net"]]
            }
            let second = try doors.oci(beside, "run", "--bundle", beside.path, "d")
            #expect(second.status != 0 && second.errors.contains("a network has one door"), "\(second)")
        }

        @Test("a gateway that dies takes the way out with it")
        func deadGateway() throws {
            let doors = try Doors()
            let bundle = try bundle("sleep 1000")
            #expect(try doors.oci(bundle, "run", "--detach", "--bundle", bundle.path, "c").status == 0)
            let fetch = ["exec", "c", "wget", "-q", "-O", "-", "http://example.com/"]
            func fetched() throws -> Outcome {
                try run([runtimePath, "--root", bundle.state] + fetch, environment: doors.environment)
            }
            let before = try fetched()
            #expect(before.output == "hello /", "\(before)")
            for pid in doors.gateways { kill(pid, SIGKILL) }
            try wait { doors.gateways.isEmpty }
            let after = try fetched()
            #expect(after.status != 0 && after.output.isEmpty, "\(after)")
        }
    }
}
