import Foundation
import Glibc
import Testing

// What no checkpoint is made of, and no container comes back as.
extension Conformance.CheckpointTests {
    @Test("mounts that criu could write down and not make again are refused before")
    func mountsRefused() throws {
        for (place, option, why) in [("/a\nb", "ro", "line end"), ("/data", "unbindable", "unbindable")] {
            let bundle = try counting()
            bundle.mount([
                ["destination": place, "type": "bind", "source": bundle.path, "options": ["bind", option]]
            ])
            try begin(bundle)
            let refused = try checkpoint(bundle)
            #expect(refused.status == 1 && refused.errors.contains(why), "\(refused.errors)")
            #expect(try bundle.status() == "running")
        }
    }

    @Test("what would be lost is refused by its name, and the container goes on")
    func refusals() throws {
        let changes: [(String, (Bundle) -> Void)] = [
            ("annotations: dev.carrel.exec", { $0.spec["annotations"] = ["dev.carrel.exec": "/bin/busybox"] }),
            ("annotations: dev.carrel.init", { $0.spec["annotations"] = ["dev.carrel.init": "true"] }),
            (
                "linux.namespaces",
                { bundle in
                    bundle.change("linux") { linux in
                        linux["namespaces"] = ["mount", "uts", "ipc"].map { ["type": $0] }
                    }
                }
            ),
        ]
        for (name, change) in changes {
            let bundle = try counting()
            change(bundle)
            try bundle.start()
            let refused = try checkpoint(bundle)
            #expect(refused.status == 1 && refused.errors.contains(name), "\(refused.errors)")
            #expect(try bundle.status() == "running")
            #expect(!FileManager.default.fileExists(atPath: "\(bundle.path)/images"))
            #expect(try oci(bundle, "delete", "--force", "c").status == 0)
        }
        let bundle = try counting()
        try begin(bundle)
        let without = try run([
            "env", "PATH=/nonexistent", runtimePath, "--root", bundle.state, "checkpoint", "--image-path",
            "\(bundle.path)/images", "c",
        ])
        #expect(without.errors.contains("criu is not installed"), "\(without.errors)")
        #expect(try restore(bundle, ["--image-path", "\(bundle.path)/nothing"]).errors.contains("--image-path: open"))
        #expect(try bundle.status() == "running")
    }

    @Test("a directory that another user could write to holds no images")
    func directories() throws {
        let bundle = try counting()
        try begin(bundle)
        let images = "\(bundle.path)/images"
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: false)
        chmod(images, 0o777)
        #expect(try checkpoint(bundle).errors.contains("only user 0 can write"))
        chmod(images, 0o700)
        chown(images, 12_345, 12_345)
        #expect(try checkpoint(bundle).errors.contains("only user 0 can write"))
        rmdir(images)
        symlink("/tmp", images)
        #expect(try checkpoint(bundle).status == 1)
        #expect(try bundle.status() == "running")
    }

    @Test(
        "a container that would come back with less that holds it is killed before it runs",
        arguments: ["\"NoNewPrivs\": \"1\"", "\"Seccomp\": \"2\"", "/proc/keys ro", "/ ro", "\"its own\""])
    func differences(held: String) throws {
        let bundle = try counting()
        bundle.change("linux") { linux in
            linux["seccomp"] = ["defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]]
        }
        // What was there in the record, and is not what criu makes. A payload that ran for an instant would have written.
        let volume = "\(bundle.path)/volume"
        try FileManager.default.createDirectory(atPath: volume, withIntermediateDirectories: false)
        bundle.script("i=0; while :; do i=$((i+1)); echo $i > /data/n; echo 2 > /dev/shm/n; done")
        bundle.mount([["destination": "/data", "type": "bind", "source": volume, "options": ["bind"]]])
        try begin(bundle)
        try writeDown(bundle)
        let record = "\(bundle.path)/images/carrel.json"
        let text = try String(contentsOfFile: record, encoding: .utf8)
        let changes = ["1\"": "7\"", "2\"": "1\"", " ro": " rw", "its own\"": "the caller's\""]
        let other = changes.reduce(held) { $0.hasSuffix($1.key) ? $0.dropLast($1.key.count) + $1.value : $0 }
        #expect(text.contains(held), "\(text)")
        let reached = try String(contentsOfFile: "\(volume)/n", encoding: .utf8)
        try text.replacingOccurrences(of: held, with: other).write(
            toFile: record, atomically: false, encoding: .utf8)
        let refused = try restore(bundle)
        #expect(refused.status == 1 && refused.errors.contains("came back with"), "\(refused.errors)")
        #expect(try String(contentsOfFile: "\(volume)/n", encoding: .utf8) == reached)
        #expect(bundle.leftovers(["c"]).isEmpty)
        // A record that says nothing holds nothing against it.
        for damaged in ["{}", "{\"version\": 1}", "[", ""] {
            try damaged.write(toFile: record, atomically: false, encoding: .utf8)
            let refused = try restore(bundle)
            #expect(refused.status == 1 && refused.errors.contains("carrel.json"), "\(refused.errors)")
        }
        #expect(bundle.leftovers(["c"]).isEmpty)
    }

    @Test("a restore that is killed at any time leaves what delete takes away")
    func killed() throws {
        let bundle = try counting()
        try begin(bundle)
        try writeDown(bundle)
        func remains() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix(".criu") }.sorted()
        }
        let before = try remains()
        for milliseconds in [5, 15, 30, 45, 60, 80] {
            let script =
                "\"$@\" </dev/null >/dev/null 2>&1 & sleep 0.0\(milliseconds < 10 ? "0" : "")\(milliseconds); "
                + "kill -9 $!; wait $! 2>/dev/null; true"
            try run(
                [
                    "/bin/sh", "-c", script, "sh", runtimePath, "--root", bundle.state, "restore", "--detach",
                    "--bundle", bundle.path, "--image-path", "\(bundle.path)/images", "c",
                ], environment: ["PATH": criuPath])
            let deleted = try oci(bundle, "delete", "--force", "c")
            #expect(deleted.status == 0, "\(milliseconds) ms: \(deleted.errors)")
            #expect(bundle.leftovers(["c"]).isEmpty, "\(milliseconds) ms")
        }
        #expect(try remains() == before)
        try bringBack(bundle)
    }

    @Test("a specification that would hold it otherwise is refused by its field")
    func otherSpecification() throws {
        let bundle = try counting()
        try begin(bundle)
        try writeDown(bundle)
        let was = bundle.spec
        let changes: [(String, (Bundle) -> Void)] = [
            ("linux.seccomp", { $0.change("linux") { $0["seccomp"] = ["defaultAction": "SCMP_ACT_ALLOW"] } }),
            ("process.capabilities", { $0.change("process") { $0["capabilities"] = [String: Any]() } }),
            ("root.readonly", { $0.change("root") { $0["readonly"] = false } }),
            ("linux.maskedPaths", { $0.change("linux") { $0["maskedPaths"] = ["/etc"] } }),
            ("mounts", { $0.spec["mounts"] = Array(($0.spec["mounts"] as? [Any] ?? []).dropLast()) }),
        ]
        for (field, change) in changes {
            bundle.spec = was
            change(bundle)
            try bundle.write()
            let refused = try restore(bundle)
            #expect(refused.status == 1 && refused.errors.contains("\(field) is not"), "\(refused.errors)")
        }
        bundle.spec = was
        bundle.spec["hostname"] = "another"
        try bundle.write()
        #expect(try restore(bundle).status == 0)
    }
}
