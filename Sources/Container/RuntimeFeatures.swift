import Cgroups
import Documents
import OCISpec
import Privileges
import Seccomp
import Syscalls

/// What this runtime can do on this host, for `features` (features.md of the specification).
public enum RuntimeFeatures {
    /// The document.
    public static var node: Node {
        func list(_ names: [String]) -> Node { Node(.sequence(names.map { Node(.string($0)) })) }
        let isUnified = (try? fileSystemKind("/sys/fs/cgroup")) == .cgroup2
        return [
            "ociVersionMin": "1.0.0", "ociVersionMax": Node(.string(Spec.version)),
            "hooks": list([
                "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
            ]),
            "mountOptions": list(MountPlan.optionNames),
            "linux": [
                "namespaces": list(LinuxNamespaceType.allCases.map(\.rawValue).sorted()),
                "capabilities": list(Known.capabilities),
                "cgroup": [
                    "v1": Node(.bool(!isUnified)), "v2": true, "systemd": Node(.bool(exists("/run/systemd/private"))),
                    "systemdUser": Node(.bool(exists("\(runtimeDirectory)/systemd/private"))),
                    "rdma": Node(.bool(CgroupHost.detect().controllers().contains("rdma"))),
                ],
                "seccomp": [
                    "enabled": true, "actions": list(LinuxSeccompAction.allCases.map(\.rawValue)),
                    "operators": list(LinuxSeccompOperator.allCases.map(\.rawValue)),
                    "archs": list(Architecture.native.entries.map(\.specName)),
                    "knownFlags": list(Known.filterFlags), "supportedFlags": list(Known.filterFlags),
                ],
                "apparmor": ["enabled": Node(.bool(LaunchPlan.hasAppArmor))],
                "selinux": ["enabled": Node(.bool(LaunchPlan.hasSELinux))],
                "intelRdt": ["enabled": false],
                "mountExtensions": ["idmap": ["enabled": true]],
                "netDevices": ["enabled": true],
            ],
            "annotations": Node(
                .mapping(
                    Extensions.runtimeControls.map { .init(key: $0, value: "") } + [
                        // As runc tells it.
                        .init(
                            key: "org.opencontainers.runc.checkpoint.enabled",
                            value: CRIU.program == nil ? "false" : "true")
                    ])),
            "potentiallyUnsafeConfigAnnotations": ["dev.carrel."],
        ]
    }
}
