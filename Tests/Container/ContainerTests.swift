import Glibc
import OCISpec
import Privileges
import Syscalls
import SystemPackage
import Testing

@testable import Container

@Suite struct ContainerTests {
    @Test func aFailureSurvivesItsWayToTheParent() {
        for error in [
            LaunchError(.mounts, SystemError("move_mount", "/workspace", errno: .permissionDenied), "mount /workspace"),
            LaunchError(.exec, SystemError("execve", nil, errno: .noSuchFileOrDirectory)),
            LaunchError(.seccomp, nil, "a filter that is none"),
        ] {
            #expect(LaunchError(bytes: error.bytes) == error)
        }
    }

    @Test func onlyTheProgramsOwnFailureHasItsStatus() {
        func status(_ step: LaunchStep, _ call: String, _ errno: Errno) -> Int32 {
            LaunchError(step, SystemError(call, "/bin/x", errno: errno)).exitStatus
        }
        #expect(status(.exec, "execve", .noSuchFileOrDirectory) == 127)
        #expect(status(.exec, "execve", .permissionDenied) == 126)
        #expect(status(.exec, "seccomp", .invalidArgument) == 125)
        #expect(status(.mounts, "open_tree", .noSuchFileOrDirectory) == 125)
        #expect(LaunchError(.prepare, nil, "no program").exitStatus == 125)
    }

    @Test func extensionsTravelAsAnnotations() {
        let extensions = Extensions(
            pinnedPaths: ["/workspace/.git", "/workspace/.claude"], executables: ["/usr/bin/git"],
            scopes: ["abstract-socket", "signal"], initProcess: "true")
        #expect(Extensions(annotations: extensions.annotations) == extensions)
        #expect(Extensions(annotations: [:]) == Extensions())
        #expect(Extensions(executables: nil).annotations.isEmpty)
    }

    @Test func onlyTrueAndFalseSayWhoIsPID1() throws {
        #expect(try Extensions(initProcess: "true").asksForInit())
        for text in ["false", nil] { #expect(try !Extensions(initProcess: text).asksForInit()) }
        for text in ["", "1", "yes", "TRUE", "true "] {
            #expect(throws: ControlError.self) { try Extensions(initProcess: text).asksForInit() }
        }
    }

    @Test func mountOptionsAreTakenApart() throws {
        let plan = try MountPlan(
            Mount(
                destination: "/tmp", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "nodev", "noexec", "exec", "ro", "size=64k", "mode=1777", "noatime"]))
        #expect(plan.changeOfAll.setting == [.noSetuid, .noDevices, .readOnly, .noAccessTime])
        #expect(plan.changeOfAll.clearing == .accessTimeMask)
        guard case .filesystem(let type, let options) = plan.source else {
            Issue.record("a tmpfs is no bind mount")
            return
        }
        #expect(type == "tmpfs" && options.map(\.key) == ["size", "mode"] && options.map(\.value) == ["64k", "1777"])
    }

    @Test(arguments: [
        Mount(destination: "/x", type: "bind", source: "/y", options: ["bind", "roo"]),
        Mount(destination: "/x", type: "bind", options: ["bind"]),
        Mount(destination: "/x", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]),
        Mount(destination: "/x", options: []),
    ])
    func noOptionIsDroppedWithoutAWord(mount: Mount) {
        #expect(throws: LaunchError.self) { try MountPlan(mount) }
    }

    /// CVE-2021-30465: whatever links a tree holds, a mount point is made inside it.
    @Test(arguments: ["/", "../../../../..", "/etc"]) func mountPointsAreMadeInside(target: String) throws {
        let place = "/tmp/carrel-container-tests.\(getpid()).\(target.utf8.count)"
        defer { try? removeTree(place) }
        try makeDirectory(place, orExisting: false)
        try #require(symlink(target + (target == "/" ? "" : "/") + "carrel-trap", place + "/home") == 0)
        let root = try open(place, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        #expect(throws: SystemError.self) {
            // The link's target does not exist inside: nothing is made in its place, in or out.
            close(try openOrMake("/home/agent", in: root, isDirectory: true, .noSymlinks))
        }
        #expect(!exists(place + "/carrel-trap"))
        // Where that is asked for, the target is made, inside.
        close(try openOrMake("/home/agent", in: root, isDirectory: true, throughLinks: true))
        close(try open("/home/agent", O_PATH | O_DIRECTORY, in: root, .inRoot))
        close(try openOrMake("/workspace/deep", in: root, isDirectory: true))
        close(try openOrMake("/opt/file", in: root, isDirectory: false))
        #expect(try status(place + "/workspace/deep").st_mode & S_IFMT == S_IFDIR)
        #expect(try status(place + "/opt/file").st_mode & S_IFMT == S_IFREG)
        for outside in ["/carrel-trap", "/etc/carrel-trap"] { #expect(!exists(outside)) }
    }
}
