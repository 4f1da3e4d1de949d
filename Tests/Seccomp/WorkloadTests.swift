import Foundation
import Testing

@testable import Seccomp

private func present(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }

@Suite("what agents run, behind the filter", .enabled(if: Architecture.native == .x86_64, "the bench is x86_64 code"))
struct WorkloadTests {
    func expectSuccess(
        _ words: String..., saying text: String = "done", tracing: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try AttackBench().runFiltered(words, tracing: tracing)
        #expect(outcome.status == 0 && !outcome.signalled, "\(outcome.output)", sourceLocation: sourceLocation)
        #expect(outcome.output.contains(text), "\(outcome.output)", sourceLocation: sourceLocation)
    }

    @Test(.enabled(if: present("/usr/bin/python3"), "no python3"))
    func python() throws {
        try expectSuccess(
            "/usr/bin/python3", "-c",
            """
            import asyncio, mmap, multiprocessing, os, select, socket, sqlite3, ssl, subprocess, tempfile, threading, time
            from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor
            with ThreadPoolExecutor(4) as pool: assert sum(pool.map(lambda x: x * x, range(9))) == 204
            with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(abs, [-1, 2]) == [1, 2]
            with multiprocessing.get_context("spawn").Pool(1) as pool: assert pool.map(abs, [-3]) == [3]
            assert subprocess.run(["sh", "-c", "echo hello | tr a-z A-Z"], capture_output=True).stdout == b"HELLO\\n"
            async def serve():
                async def handle(reader, writer):
                    writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
                server = await asyncio.start_server(handle, "127.0.0.1", 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"ping\\n"); assert await reader.readline() == b"PING\\n"
            asyncio.run(serve())
            socket.getaddrinfo("localhost", 80); socket.if_nameindex(); ssl.create_default_context()
            with tempfile.TemporaryFile() as file:
                file.write(b"x" * 4096); file.flush()
                with mmap.mmap(file.fileno(), 4096) as memory: assert memory[0:1] == b"x"
            db = sqlite3.connect(":memory:"); db.execute("create table t (a)")
            os.sched_getaffinity(0); os.getrandom(8); os.memfd_create("m"); os.mkfifo(tempfile.mktemp(dir="."))
            try:
                os.unshare(os.CLONE_NEWUSER) if hasattr(os, "unshare") else socket.socket(socket.AF_PACKET, 3, 0)
            except PermissionError: print("done")
            """)
    }

    @Test(.enabled(if: present("/usr/bin/git"), "no git"))
    func git() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
            git init -q one && cd one && seq 1000 > file && git add . && git commit -qm first
            git checkout -qb side && echo more >> file && git commit -qam second && git rebase -q master 2>/dev/null || git rebase -q main
            cd .. && git clone -q one two && cd two && git log --oneline | cat && git gc -q && git fsck
            git grep -n 999 && git worktree add -q ../three HEAD && echo done
            """)
    }

    @Test(.enabled(if: present("/usr/bin/gcc"), "no gcc"))
    func compiler() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            cat > p.c <<'X'
            #include <pthread.h>
            #include <stdio.h>
            static void *work(void *p) { return p; }
            int main() { pthread_t t; void *r; pthread_create(&t, 0, work, "done"); pthread_join(t, &r); return puts(r) < 0; }
            X
            printf 'all: p\\np: p.c\\n\\tgcc -g -O2 -pthread -fsanitize=address,undefined -o p p.c\\n' > Makefile
            # The leak sanitizer traces its own process.
            make -s -j4 && ASAN_OPTIONS=detect_leaks=0 ./p
            """)
    }

    @Test(.enabled(if: present("/usr/bin/node"), "no node"))
    func node() throws {
        try expectSuccess(
            "/usr/bin/node", "-e",
            """
            const { Worker } = require('worker_threads'), fs = require('fs'), http = require('http'), cp = require('child_process');
            const watcher = fs.watch('.');
            fs.promises.writeFile('a.txt', 'text').then(async () => {
              if (await fs.promises.readFile('a.txt', 'utf8') !== 'text') process.exit(2);
              if (cp.execFileSync('sh', ['-c', 'echo hi']).toString() !== 'hi\\n') process.exit(3);
              await new Promise(r => new Worker('process.exit(0)', { eval: true }).on('exit', r));
              await new Promise(r => require('zlib').gzip('x', r));
              const server = http.createServer((q, s) => s.end('done')).listen(0, '127.0.0.1', async () => {
                console.log(await (await fetch('http://127.0.0.1:' + server.address().port)).text());
                await new Promise(r => require('dns').lookup('localhost', r));
                server.close(); watcher.close();
              });
            });
            """)
    }

    @Test(.enabled(if: present("/usr/bin/npm"), "no npm"))
    func npm() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            export HOME=$PWD; mkdir dep app; cd app
            echo '{ "name": "dep", "version": "1.0.0" }' > ../dep/package.json
            echo '{ "name": "app", "version": "1.0.0", "scripts": { "t": "echo done" } }' > package.json
            npm install --offline --no-audit --no-fund ../dep && npm run t
            """)
    }

    @Test(.enabled(if: present("/usr/bin/python3") && present("/usr/bin/strace"), "no strace"))
    func tracing() throws {
        try expectSuccess(
            "/usr/bin/strace", "-f", "-e", "trace=execve", "sh", "-c", "/bin/true; echo done", saying: "execve(",
            tracing: true)
    }

    @Test(.enabled(if: present("/usr/bin/gdb") && present("/usr/bin/gcc"), "no gdb"))
    func debugger() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            echo 'int f(int x) { return x + 1; } int main() { return f(41) - 42; }' > p.c && gcc -g -O0 -o p p.c
            gdb -q -batch -ex 'break f' -ex run -ex 'print x' -ex finish -ex continue ./p > log 2>&1
            grep -q '= 41' log && grep -q 'exited normally' log && ! grep -i randomization log && echo done
            """, tracing: true)
    }

    @Test("the leak sanitizer works where tracing is allowed", .enabled(if: present("/usr/bin/gcc"), "no gcc"))
    func leaks() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            echo 'int main() { return 0; }' > p.c && gcc -fsanitize=address -o p p.c && ./p && echo done
            """, tracing: true)
    }

    @Test(.enabled(if: present("/root/.cargo/bin/cargo"), "no cargo"))
    func cargo() throws {
        try expectSuccess(
            "sh", "-ec",
            """
            mkdir -p c/src && cd c && printf '[package]\\nname = "c"\\nversion = "0.1.0"\\nedition = "2021"\\n' > Cargo.toml
            echo 'fn main() { std::thread::spawn(|| println!("done")).join().unwrap(); }' > src/main.rs
            /root/.cargo/bin/cargo run -q --offline
            """)
    }

    @Test("a nested sandbox is told that it cannot be", .enabled(if: present("/usr/bin/bwrap"), "no bwrap"))
    func nestedSandbox() throws {
        let outcome = try AttackBench().runFiltered(["/usr/bin/bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"])
        #expect(outcome.status != 0 && !outcome.signalled)
        #expect(outcome.output.contains("Operation not permitted") || outcome.output.contains("No permissions"))
    }
}
