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
    products: ["carrel", "carrel-oci", "carrel-gateway"].map { .executable(name: $0, targets: [$0]) },
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        // The gateway's alone: the launcher links none of them.
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
    ],
    targets: [
        .target(name: "CSyscalls"),
        .systemLibrary(name: "CLibseccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
        .systemLibrary(name: "CLibcap", pkgConfig: "libcap", providers: [.apt(["libcap-dev"])]),
        .systemLibrary(name: "CLibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CLibmd", pkgConfig: "libmd", providers: [.apt(["libmd-dev"])]),
        .systemLibrary(name: "CLibpsl", pkgConfig: "libpsl", providers: [.apt(["libpsl-dev"])]),
        .systemLibrary(name: "CLibz", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLibbrotli", pkgConfig: "libbrotlidec", providers: [.apt(["libbrotli-dev"])]),
        .systemLibrary(name: "CLibzstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        room("Documents", ["CLibyaml", "CLibmd"]),
        room("Syscalls", ["CSyscalls", swiftSystem]),
        room("OCISpec", ["Documents"]),
        room("Privileges", ["Syscalls", "CLibcap", "OCISpec"]),
        room("Cgroups", ["Syscalls", "OCISpec"]),
        room("Seccomp", ["Syscalls", "OCISpec", "Documents", "CLibseccomp"]),
        room("Container", ["Syscalls", "OCISpec", "Privileges", "Cgroups", "Seccomp"]),
        room("Records", ["Syscalls", "Documents"]),
        room("Workshop", ["Seccomp", "OCISpec", "Documents", "Syscalls", "CSyscalls", "CLibseccomp"]),
        room("EgressPolicy", ["Documents", "Syscalls", "CLibpsl", "Records"]),
        room("Metering", ["EgressPolicy", "Documents", "Records", "Syscalls", "CLibz", "CLibbrotli", "CLibzstd"]),
        room("Capacity", ["Cgroups", "Records", "Documents", "Syscalls"]),
        room("Session", ["Container", "Capacity", "EgressPolicy", "Workshop", "Records", "Documents", "Privileges"]),
        room("Options", ["CSyscalls", "Documents"]),
        room(
            "Egress",
            [
                "EgressPolicy", "Metering", "Records", "Documents", "Privileges", "Syscalls",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"), .product(name: "SwiftASN1", package: "swift-asn1"),
            ]),
        .executableTarget(
            name: "carrel",
            dependencies: [
                "Session", "Capacity", "EgressPolicy", "Workshop", "Records", "Cgroups", "Privileges", "Options",
            ]),
        .executableTarget(
            name: "carrel-oci", dependencies: ["Session", "Container", "OCISpec", "Documents", "Options", "Syscalls"]),
        .executableTarget(name: "carrel-gateway", dependencies: ["Egress", "Options"]),

        tests("Documents"),
        tests("Options"),
        tests("Syscalls"),
        tests("OCISpec", ["Documents"]),
        tests("Privileges", ["Syscalls"]),
        tests("Cgroups", ["Syscalls"]),
        tests("Seccomp", ["Syscalls", "Documents", "OCISpec"]),
        tests("Container", ["Syscalls", "OCISpec"]),
        tests("Records", ["Documents"]),
        tests("Workshop", ["Seccomp", "Documents", "OCISpec", "Syscalls"]),
        tests("EgressPolicy", ["Documents", "Syscalls"]),
        .testTarget(
            name: "MeteringTests", dependencies: ["Metering", "EgressPolicy", "Records", "Documents", "Syscalls"],
            path: "Tests/Metering", exclude: ["Fixtures"]),
        tests("Capacity", ["Documents", "Records", "Cgroups", "Syscalls"]),
        tests(
            "Egress",
            ["EgressPolicy", "Metering", "Records", "Documents", "Syscalls"]),
        tests("Session", ["EgressPolicy", "Documents", "Syscalls"]),
        .testTarget(
            name: "CommandLineTests", dependencies: ["carrel", "Options", "Session", "Records", "Documents"],
            path: "Tests/CommandLine"),
        .testTarget(
            name: "IntegrationTests", dependencies: ["Documents"], path: "Tests/Integration", exclude: ["Fixtures"]),
        .testTarget(
            name: "ConformanceTests", dependencies: ["Documents"], path: "Tests/Conformance", exclude: ["Fixtures"]),
    ],
    swiftLanguageModes: [.v6]
)
