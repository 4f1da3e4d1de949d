"""A pod by the Kubernetes Container Runtime Interface (runtime.v1): cri.py SOCKET, with an image `box` in the node.

The messages are written here field by field, as protocol buffers have them: a client of the kubelet's own would bring in all of it.
Prints what it saw, one fact a line.
"""
import glob
import sys
import time

import grpc

channel = grpc.insecure_channel(f"unix://{sys.argv[1]}")


def number(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(fields):
    """Encodes {field number: int, str, bytes, dict, or a list of these}."""
    out = b""
    for field, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += number(field << 3) + number(value)
                continue
            data = message(value) if isinstance(value, dict) else value.encode() if isinstance(value, str) else value
            out += number(field << 3 | 2) + number(len(data)) + data
    return out


def fields(data):
    """Decodes into {field number: the last value}, bytes where it is no number."""
    found, place = {}, 0

    def read():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        tag = read()
        if tag & 7 == 0:
            found[tag >> 3] = read()
        else:
            length = read()
            found[tag >> 3] = data[place:place + length]
            place += length
    return found


def call(method, request):
    stub = channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", lambda data: data, lambda data: data)
    return fields(stub(message(request), timeout=30))


def state(container):
    status = fields(call("ContainerStatus", {1: container})[1])
    return ["created", "running", "exited", "unknown"][status.get(3, 0)], status.get(7, 0)


def execute(container, *words):
    answer = call("ExecSync", {1: container, 2: list(words), 3: 10})
    return answer.get(1, b"").decode().strip(), answer.get(3, 0)


while True:
    # containerd answers others before its CRI plugin is ready; the test has its own limit of time.
    try:
        version = call("Version", {})
        break
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        time.sleep(0.1)
print("version", version[2].decode())
node = {1: 2, 2: 1, 3: 2}  # the network and the IPC of the node, so that no CNI is needed; processes of the container's own
pod = {1: {1: "pod", 2: "uid-1", 3: "default"}, 8: {1: "/carrel", 2: {1: node}},
       7: [{1: "dev.carrel.exec", 2: "/bin/busybox"}, {1: "dev.carrel.init", 2: "true"}]}
sandbox = call("RunPodSandbox", {1: pod, 2: "carrel"})[1].decode()
print("sandbox", fields(call("PodSandboxStatus", {1: sandbox})[1]).get(3, 0))
container = {
    1: {1: "agent"}, 2: {1: "docker.io/library/box:latest"}, 3: ["sleep", "300"], 6: {1: "COLOUR", 2: "green"},
    10: [{1: "dev.carrel.exec", 2: "/bin/busybox"}, {1: "other", 2: "ignored"}],
    15: {1: {4: 64 << 20}, 2: {1: {2: ["ALL"]}, 3: node, 7: 1, 11: 1}},
}
made = call("CreateContainer", {1: sandbox, 2: container, 3: pod})[1].decode()
print("created", *state(made))
call("StartContainer", {1: made})
print("started", *state(made))
print("exec", *execute(made, "sh", "-c", "echo $COLOUR; exit 3"))
print("init", *execute(made, "cat", "/proc/1/comm"))
print("privileges", *execute(made, "grep", "NoNewPrivs", "/proc/self/status"))
print("read-only", execute(made, "touch", "/x")[1])
call("UpdateContainerResources", {1: made, 2: {4: 80 << 20}})
for file in glob.glob(f"/sys/fs/cgroup/memory/carrel/{made}/memory.limit_in_bytes") + glob.glob(f"/sys/fs/cgroup/carrel/{made}/memory.max"):
    print("memory", open(file).read().strip())
call("StopContainer", {1: made, 2: 0})
print("stopped", *state(made))
call("RemoveContainer", {1: made})
call("StopPodSandbox", {1: sandbox})
call("RemovePodSandbox", {1: sandbox})
print("pods", len(call("ListPodSandbox", {})))
