import Documents
import Foundation
import Testing

extension Integration {
    /// Carrel inside a container, whose own cgroup is the top of the tree that it sees.
    @Suite(.enabled(if: Host.isRoot, "needs root")) struct Nested {
        /// Runs a script in cgroup, mount and process namespaces of its own, in a cgroup with 200 MiB.
        private func contained(_ desk: Desk, _ outer: String, _ script: String) throws -> Outcome {
            let state = try desk.directory("inner")
            chmod(state, 0o700)
            let enter = """
                set -e
                mounts=$(awk '$3 ~ /^cgroup/ && $2 ~ /(cgroup|unified|memory|pids|cpu|cpuacct)$/ {print $2}' /proc/mounts)
                for mount in $mounts; do
                    for level in '' /carrel /carrel/'\(outer)'; do
                        mkdir -p "$mount$level"
                        echo '+memory +pids +cpu' 2>/dev/null >"$mount$level/cgroup.subtree_control" || true
                    done
                    place=$mount/carrel/'\(outer)'/container
                    mkdir "$place"
                    for limit in memory.max memory.limit_in_bytes; do
                        [ ! -e "$place/$limit" ] || echo 200M >"$place/$limit"
                    done
                    echo $$ >"$place/cgroup.procs"
                done
                # As a container's runtime mounts them; processes one level below, as its init puts them.
                export mounts
                exec unshare --cgroup --mount sh -c '
                    for mount in $mounts; do mount --bind "$mount/carrel/\(outer)/container" "$mount"; done
                    [ -e /sys/fs/cgroup/unified ] ||
                        { mkdir /sys/fs/cgroup/main && echo $$ >/sys/fs/cgroup/main/cgroup.procs; }
                    exec unshare --pid --fork --mount-proc sh -c "$0"
                    ' "$1"
                """
            return desk.around(
                "sh -c \"$ENTER\" sh \"$SCRIPT\"", adding: ["ENTER": enter, "SCRIPT": script, "CARREL_STATE": state],
                timeout: 120)
        }

        private func remove(_ outer: String) {
            for place in Host.cgroups(of: outer) where place.hasSuffix("/container") {
                Host.outside("echo 1 >'\(place)/cgroup.kill'")
            }
            _ = eventually(within: 10) {
                for place in Host.cgroups(of: outer).sorted(by: { $0.count > $1.count }) { rmdir(place) }
                return Host.cgroups(of: outer).isEmpty
            }
            Host.outside("rmdir /sys/fs/cgroup/carrel/'\(outer)' /sys/fs/cgroup/*/carrel/'\(outer)' 2>/dev/null")
        }

        @Test func limitsHoldWithinTheContainersOwn() throws {
            try withDesk { desk in
                let outer = "outer" + desk.path.suffix(6)
                defer { remove(outer) }
                try desk.write(Limits.hog, to: "hog.py")
                let inside = try contained(
                    desk, outer,
                    """
                    hog="/usr/bin/python3 -c '$(cat "$HOME/hog.py")'"
                    "$CARREL" run --memory 48MiB --session own -- sh -c "$hog"; echo "own $?"
                    "$CARREL" run --memory 180MiB --session all -- sh -c "$hog"; echo "all $?"
                    "$CARREL" run --detach --memory 100MiB --session one -- sleep 600
                    "$CARREL" run --memory 150MiB -- true; echo "full $?"
                    "$CARREL" pause one; "$CARREL" ps --json | tr -d ' \\n'; echo
                    ls -d /sys/fs/cgroup/carrel/default/one /sys/fs/cgroup/unified/carrel/default/one
                    "$CARREL" kill --all && "$CARREL" ps
                    """)
                #expect(inside.lines.contains("own 137") && inside.lines.contains("all 137"), "\(inside)")
                // Berths are given out of the container's memory, not of the host's.
                #expect(inside.lines.contains("full 75"), "\(inside)")
                #expect(inside.output.contains("\"state\":\"paused\""), "\(inside)")
                #expect(inside.output.contains("/carrel/default/one\n") && inside.output.contains("no session"))
                let ledger = desk.read("inner/ledger.jsonl").split(separator: "\n")
                let reports = try ledger.map { try desk.parse(String($0)) }
                let own = reports.first { $0["session"]?.string == "own" }
                #expect(own?.at("exit.how")?.string == "oom" && own?.at("exit.limit")?.string == "session", "\(inside)")
                // Outside the container's cgroup nothing was made.
                #expect(Host.cgroups(of: outer).allSatisfy { $0.contains("/\(outer)/container") })
            }
        }
    }
}
