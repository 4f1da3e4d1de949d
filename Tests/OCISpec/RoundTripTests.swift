import Documents
import Testing

@testable import OCISpec

/// Every member of the Linux parts of the specification, each with a value that is written back.
private let whole = """
    {
      "ociVersion": "1.2.1",
      "process": {
        "terminal": true,
        "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 1000, "gid": 100, "umask": 18, "additionalGids": [5, 6]},
        "args": ["sh", "-c", "exit 3"],
        "env": ["PATH=/bin", "EMPTY="],
        "cwd": "/work",
        "capabilities": {
          "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
          "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"]
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024}],
        "noNewPrivileges": true,
        "apparmorProfile": "agent",
        "oomScoreAdj": -5,
        "scheduler": {
          "policy": "SCHED_DEADLINE", "nice": 1, "priority": 2, "flags": ["SCHED_FLAG_RECLAIM"],
          "runtime": 3, "deadline": 4, "period": 5
        },
        "selinuxLabel": "label",
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "execCPUAffinity": {"initial": "0-3", "final": "7"}
      },
      "root": {"path": "rootfs", "readonly": true},
      "hostname": "desk",
      "domainname": "library",
      "mounts": [{
        "destination": "/data", "type": "none", "source": "/srv", "options": ["bind", "ro"],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]
      }],
      "hooks": {
        "prestart": [{"path": "/a", "args": ["a"], "env": ["A=1"], "timeout": 5}],
        "createRuntime": [{"path": "/b"}],
        "createContainer": [{"path": "/c"}],
        "startContainer": [{"path": "/d"}],
        "poststart": [{"path": "/e"}],
        "poststop": [{"path": "/f"}]
      },
      "annotations": {"dev.carrel.a": "1", "dev.carrel.b": "2"},
      "linux": {
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
        "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
        "sysctl": {"net.core.somaxconn": "256"},
        "resources": {
          "devices": [{"allow": false, "type": "a", "major": 1, "minor": 3, "access": "rwm"}],
          "memory": {
            "limit": 1, "reservation": 2, "swap": 3, "kernel": -1, "kernelTCP": 5, "swappiness": 60,
            "disableOOMKiller": false, "useHierarchy": true, "checkBeforeUpdate": true
          },
          "cpu": {
            "shares": 1024, "quota": 50000, "burst": 100, "period": 100000, "realtimeRuntime": 1,
            "realtimePeriod": 2, "cpus": "0-1", "mems": "0", "idle": 1
          },
          "pids": {"limit": 256},
          "blockIO": {
            "weight": 10, "leafWeight": 20,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]
          },
          "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
          "network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]},
          "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}},
          "unified": {"memory.high": "1073741824"}
        },
        "cgroupsPath": "/carrel/x",
        "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "user"}, {"type": "time"}],
        "devices": [{
          "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0
        }],
        "seccomp": {
          "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
          "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/run/listener", "listenerMetadata": "m",
          "syscalls": [{
            "names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
          }]
        },
        "rootfsPropagation": "rslave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "label",
        "intelRdt": {
          "closID": "guaranteed", "l3CacheSchema": "L3:0=7f0", "memBwSchema": "MB:0=20", "enableCMT": true,
          "enableMBM": true
        },
        "personality": {"domain": "LINUX32", "flags": ["none"]},
        "timeOffsets": {"monotonic": {"secs": 172800, "nanosecs": 5}},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}
      }
    }
    """

private func parse(_ text: String) throws -> Node { try Node.parse(Array(text.utf8), file: "config.json") }

@Suite struct RoundTripTests {
    @Test func everyMemberIsReadAndWrittenInOrder() throws {
        let document = try parse(whole)
        let spec = try Spec(document, file: "config.json")
        #expect(spec.node.json(pretty: true) == document.json(pretty: true))
        #expect(try Spec(parse(spec.node.json()), file: "again") == spec)
        #expect(spec.process?.rlimits.first?.hard == .max)
        #expect(spec.linux?.seccomp?.syscalls.first?.args.first?.op == .maskedEqual)
    }

    @Test func stateIsReadAndWritten() throws {
        let document = try parse(
            """
            {"ociVersion": "1.2.0", "id": "s-42", "status": "running", "pid": 4422, "bundle": "/b", "annotations": {"a": "b"}}
            """)
        #expect(try State(document, file: "state.json").node == document)
    }

    @Test func unknownMembersAreIgnoredAndNullIsAbsent() throws {
        let spec = try Spec(
            parse(
                #"{"ociVersion": "1.3.0", "vm": {"x": 1}, "root": null, "linux": {"netDevices": {}, "devices": null}}"#),
            file: "config.json")
        #expect(spec == Spec(ociVersion: "1.3.0", linux: Linux()))
    }

    @Test func aRelativeDestinationStartsAtTheRoot() throws {
        #expect(try Mount(parse(#"{"destination": "data"}"#), file: "m").destination == "/data")
    }

    @Test func falseIsLeftOutAndTheRestIsSmall() {
        #expect(Spec().node == ["ociVersion": "1.2.0"])
        #expect(Root(path: "/r").node == ["path": "/r"])
        #expect(LinuxDeviceCgroup(allow: false).node == ["allow": false])
    }

    @Test func everyWrongMemberIsTold() throws {
        let document = try parse(
            """
            ociVersion: 1.2
            process:
              user: {uid: -1, gid: 4294967296}
              args: sh
              env: [A=1, 2]
              rlimits:
                - {type: RLIMIT_CORE, soft: 0}
                - 7
            root: /
            annotations: {a: [b]}
            linux:
              namespaces: [{type: pids}, {path: x}]
              resources: {devices: [{allow: yes}], rdma: {m: 1}}
              seccomp: {defaultAction: SCMP_ACT_ALOW}
            """)
        let namespaces = "one of pid, network, mount, ipc, uts, user, cgroup, time"
        let actions =
            "one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, "
            + "SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY"
        let expected = [
            "c:1:13: ociVersion: expected a string, found a number",
            "c:3:3: process.cwd: expected a string, found nothing",
            "c:3:15: process.user.uid: expected a whole number from 0 to 4294967295, found -1",
            "c:3:24: process.user.gid: expected a whole number from 0 to 4294967295, found 4294967296",
            "c:4:9: process.args: expected a list, found a string",
            "c:5:14: process.env[1]: expected a string, found a whole number",
            "c:7:7: process.rlimits[0].hard: expected a whole number from 0 to 18446744073709551615, found nothing",
            "c:8:7: process.rlimits[1]: expected a mapping, found a whole number",
            "c:9:7: root: expected a mapping, found a string",
            "c:10:18: annotations.a: expected a string, found a list",
            "c:12:23: linux.namespaces[0].type: expected \(namespaces), found \"pids\"; did you mean pid?",
            "c:12:30: linux.namespaces[1].type: expected \(namespaces), found nothing",
            "c:13:33: linux.resources.devices[0].allow: expected true or false, found a string",
            "c:13:50: linux.resources.rdma.m: expected a mapping, found a whole number",
            "c:14:28: linux.seccomp.defaultAction: expected \(actions), found \"SCMP_ACT_ALOW\"; did you mean "
                + "SCMP_ACT_ALLOW?",
        ]
        #expect(problems { _ = try Spec(document, file: "c") } == expected)
        #expect(problems { _ = try Spec(nil, file: "c") } == ["c: expected a mapping, found nothing"])
    }
}

/// What `body` throws, a line each.
func problems(_ body: () throws -> Void) -> [String] {
    do {
        try body()
        return []
    } catch {
        return (error as? Problems)?.list.map(\.description) ?? ["\(error)"]
    }
}
