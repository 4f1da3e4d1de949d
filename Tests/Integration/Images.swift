import Documents
import Foundation
import Testing

extension Integration {
    /// The roots that sessions run on are made once; those that nobody uses any more go.
    @Suite struct Images {
        private func roots(_ desk: Desk) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: desk.state + "/images").filter { $0 != "dev" }.sorted()
        }

        private func age(_ desk: Desk) {
            #expect(Host.outside("touch -c -d '10 days ago' '\(desk.state)'/images/host-*").status == 0)
        }

        @Test func aRootThatNobodyUsesGoesAfterAWeek() throws {
            try withDesk { desk in
                let session = try desk.detached(session: "long")
                let used = try roots(desk)
                #expect(used.count == 1)
                // As left by a call that was killed while it made one: 4194304 is the number of no process.
                let draft = try desk.directory("state/images/host-0123456789abcdef.4194304.new")
                age(desk)
                #expect(desk.carrel(["ps"]).output.contains(session))
                #expect(try roots(desk) == used)
                #expect(!FileManager.default.fileExists(atPath: draft))
                #expect(desk.carrel(["exec", session, "--", "test", "-s", "/etc/passwd"]).status == 0)
                #expect(desk.carrel(["kill", session]).status == 0)
                age(desk)
                #expect(desk.run([], ["true"]).status == 0)
                desk.carrel(["ps"])
                #expect(try roots(desk) == used, "used just now")
                age(desk)
                desk.carrel(["ps"])
                #expect(try roots(desk).isEmpty)
                // What a specification names, whoever printed it can use for as long as they like.
                #expect(desk.carrel(["spec", "--", "true"]).status == 0)
                desk.carrel(["ps"])
                let kept = try roots(desk)
                #expect(kept.count == 1)
                let modified = try FileManager.default.attributesOfItem(atPath: "\(desk.state)/images/\(kept[0])")[
                    .modificationDate]
                #expect((modified as? Date).map { $0.timeIntervalSinceNow > 0 } == true)
            }
        }

        /// Starts beside sweeps that take every root for old: each session has its root whole, or another.
        @Test func noStartLosesItsRootToASweep() throws {
            try withDesk { desk in
                #expect(desk.run([], ["true"]).status == 0)
                let sweeps = desk.around(
                    """
                    set -u
                    (while [ ! -e "$CARREL_STATE/over" ]; do
                        touch -c -d '10 days ago' "$CARREL_STATE"/images/host-* 2>/dev/null; "$CARREL" ps >/dev/null
                        [ -e "$(echo "$CARREL_STATE"/images/host-*)" ] || echo gone >>"$CARREL_STATE/gone"
                    done) &
                    bad=0
                    for i in $(seq 40); do
                        "$CARREL" run -- sh -c 'test -s /etc/passwd -a -s /etc/nsswitch.conf -a -x /usr/bin/env' || bad=$((bad + 1))
                    done
                    touch "$CARREL_STATE/over"; wait
                    echo "bad $bad"; test -s "$CARREL_STATE/gone" && echo swept
                    """)
                #expect(sweeps.output == "bad 0\nswept", "\(sweeps)")
                let left = try roots(desk)
                #expect(!left.contains { $0.hasSuffix(".new") || $0.hasSuffix(".old") }, "\(left)")
            }
        }
    }
}
