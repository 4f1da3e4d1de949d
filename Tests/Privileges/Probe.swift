import Glibc
import Syscalls

/// Compiles the probe into `directory` and gives its path.
func makeProbe(in directory: String, static isStatic: Bool = false) throws -> String {
    let source = directory + "/probe.c"
    let program = directory + (isStatic ? "/static-probe" : "/probe")
    try withOpen(source, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644) { file throws(SystemError) in
        try writeAll(probeSource.utf8, to: file)
    }
    let outcome = try inChild(
        run: ["/usr/bin/cc", "-O1", "-o", program, source] + (isStatic ? ["-static"] : []))
    guard outcome.succeeded else { throw SystemError("execve", "cc: \(outcome)", errno: .noChildProcess) }
    return program
}

/// What a hostile program would try, one attempt a word; prints `ok` or the name of the error.
private let probeSource = #"""
    #define _GNU_SOURCE
    #include <errno.h>
    #include <fcntl.h>
    #include <signal.h>
    #include <stddef.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/ptrace.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/un.h>
    #include <unistd.h>

    static int say(int failed) {
        puts(failed ? strerrorname_np(errno) : "ok");
        return failed != 0;
    }

    static int memfd_of(const char *path) {
        int file = open(path, O_RDONLY), memfd = memfd_create("probe", 0);
        char buffer[1 << 16];
        ssize_t count;
        while ((count = read(file, buffer, sizeof buffer)) > 0)
            if (write(memfd, buffer, count) != count) return -1;
        return count == 0 && file >= 0 ? memfd : -1;
    }

    int main(int count, char **words) {
        const char *word = words[1], *argument = count > 2 ? words[2] : "";
        if (!strcmp(word, "hello")) return say(0);
        if (!strcmp(word, "securebits")) return printf("%d\n", prctl(PR_GET_SECUREBITS)), 0;
        if (!strcmp(word, "status")) {
            char line[256];
            FILE *file = fopen("/proc/self/status", "r");
            while (fgets(line, sizeof line, file)) fputs(line, stdout);
            return 0;
        }
        if (!strcmp(word, "setuid0")) return say(setresuid(0, 0, 0));
        if (!strcmp(word, "ambient")) return say(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, atoi(argument), 0, 0));
        if (!strcmp(word, "unlock")) return say(prctl(PR_SET_SECUREBITS, 0));
        if (!strcmp(word, "ptrace")) return say(ptrace(PTRACE_ATTACH, atoi(argument), 0, 0) != 0);
        if (!strcmp(word, "signal")) return say(kill(atoi(argument), 0));
        if (!strcmp(word, "exec")) {
            execv(argument, words + 2);
            return say(1);
        }
        if (!strcmp(word, "execfd")) {
            syscall(SYS_execveat, atoi(argument), "", words + 2, NULL, AT_EMPTY_PATH);
            return say(1);
        }
        if (!strcmp(word, "memfd")) {
            char *command[] = {"memfd", "hello", NULL};
            syscall(SYS_execveat, memfd_of(argument), "", command, NULL, AT_EMPTY_PATH);
            return say(1);
        }
        if (!strcmp(word, "memfd-loader")) {
            char path[64];
            char *command[] = {"ld", path, "hello", NULL};
            snprintf(path, sizeof path, "/proc/self/fd/%d", memfd_of(argument));
            execv("/lib64/ld-linux-x86-64.so.2", command);
            return say(1);
        }
        if (!strcmp(word, "map")) {
            int file = open(argument, O_RDONLY);
            if (file < 0) return say(1);
            return say(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED);
        }
        if (!strcmp(word, "abstract")) {
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            memcpy(address.sun_path + 1, argument, strlen(argument));
            socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argument);
            return say(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size));
        }
        if (!strcmp(word, "crash")) abort();
        return 2;
    }
    """#
