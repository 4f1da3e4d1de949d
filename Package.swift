// swift-tools-version: 6.2
import PackageDescription

// The rooms of Docs/Architecture.md, ground floor first: a target may depend only on targets above its own line.
let swiftSystem = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies, path: "Tests/\(name)")
}

let package = Package(
    name: "carrel",
    products: [.executable(name: "carrel", targets: ["carrel"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1")
    ],
    targets: [
        .target(name: "CSyscalls"),
        .systemLibrary(name: "CLibseccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CLibcap", pkgConfig: "libcap", providers: [.apt(["libcap-dev"])]),
        .systemLibrary(name: "CLibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CLibmd", pkgConfig: "libmd", providers: [.apt(["libmd-dev"])]),
        room("Documents", ["CLibyaml"]),
        room("Syscalls", ["CSyscalls", swiftSystem]),
        room("OCISpec", ["Documents"]),
        room("Privileges", ["Syscalls", "CLibcap", "OCISpec"]),
        room("Cgroups", ["Syscalls", "OCISpec"]),
        room("Seccomp", ["Syscalls", "OCISpec", "Documents", "CLibseccomp", "CLibmd"]),
        room("Container", ["Syscalls", "OCISpec", "Privileges", "Cgroups", "Seccomp"]),
        room("Records", ["Syscalls", "Documents", "CLibmd"]),
        room("Session", ["Container", "Records", "Documents", "Privileges"]),
        room("Options", ["CSyscalls", "Documents"]),
        .executableTarget(name: "carrel", dependencies: ["Session", "Records", "Cgroups", "Privileges", "Options"]),

        tests("Documents"),
        tests("Options"),
        tests("Syscalls"),
        tests("OCISpec", ["Documents"]),
        tests("Privileges", ["Syscalls"]),
        tests("Cgroups", ["Syscalls"]),
        tests("Seccomp", ["Syscalls", "Documents", "OCISpec"]),
        tests("Container", ["Syscalls", "OCISpec"]),
        tests("Records", ["Documents"]),
        tests("Session", ["Documents", "Syscalls"]),
        .testTarget(
            name: "CommandLineTests", dependencies: ["carrel", "Options", "Session", "Records", "Documents"],
            path: "Tests/CommandLine"),
        .testTarget(
            name: "IntegrationTests", dependencies: ["Documents"], path: "Tests/Integration", exclude: ["Fixtures"]),
    ],
    swiftLanguageModes: [.v6]
)
