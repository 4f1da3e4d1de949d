/// The parameters of system calls: names and kinds, as a kernel 6.18 tells in `/sys/kernel/tracing/events/syscalls`.
enum CallSignatures {
    /// A parameter.
    struct Parameter {
        let name: Substring
        /// What it holds (`CallDecoder`).
        let kind: Substring
    }

    /// The parameters of a call; `nil` for a call that is not known.
    static func of(_ name: String) -> [Parameter]? { table[Substring(name)] }

    private static let table: [Substring: [Parameter]] = {
        var result: [Substring: [Parameter]] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            result[words[0]] = words.dropFirst().map { word in
                let colon = word.firstIndex(of: ":") ?? word.endIndex
                return Parameter(name: word[..<colon], kind: word[colon...].dropFirst())
            }
        }
        return result
    }()

    // Kinds: d signed, u unsigned, x hexadecimal, o octal, p pointer, s string, f descriptor, D directory of the path that
    // follows, a address of a socket, its length behind; all others are tables of `ArgumentNames`.
    private static let text = """
        _sysctl args:p
        accept fd:f upeer_sockaddr:p upeer_addrlen:p
        accept4 fd:f upeer_sockaddr:p upeer_addrlen:p flags:x
        access filename:s mode:d
        acct name:s
        add_key type:s description:s payload:p plen:u ringid:keyring
        adjtimex txc_p:p
        afs_syscall
        alarm seconds:u
        arch_prctl option:archprctl arg2:x
        bind fd:f umyaddr:a addrlen:d
        bpf cmd:bpf uattr:p size:u
        brk brk:x
        cachestat fd:f cstat_range:p cstat:p flags:x
        capget header:p dataptr:u
        capset header:u data:x
        chdir filename:s
        chmod filename:s mode:o
        chown filename:s user:d group:d
        chroot filename:s
        clock_adjtime which_clock:clock utx:p
        clock_getres which_clock:clock tp:p
        clock_gettime which_clock:clock tp:p
        clock_nanosleep which_clock:clock flags:x rqtp:p rmtp:p
        clock_settime which_clock:clock tp:p
        clone clone_flags:clone newsp:x parent_tidptr:p child_tidptr:p tls:x
        clone3 uargs:p size:u
        close fd:f
        close_range fd:f max_fd:f flags:x
        connect fd:f uservaddr:a addrlen:d
        copy_file_range fd_in:f off_in:p fd_out:f off_out:p len:u flags:x
        creat pathname:s mode:o
        create_module name:s size:u
        delete_module name_user:s flags:x
        dup fildes:f
        dup2 oldfd:f newfd:f
        dup3 oldfd:f newfd:f flags:x
        epoll_create size:d
        epoll_create1 flags:x
        epoll_ctl epfd:f op:d fd:f event:p
        epoll_ctl_old
        epoll_pwait epfd:f events:p maxevents:d timeout:d sigmask:p sigsetsize:u
        epoll_pwait2 epfd:f events:p maxevents:d timeout:p sigmask:p sigsetsize:u
        epoll_wait epfd:f events:p maxevents:d timeout:d
        epoll_wait_old
        eventfd count:u
        eventfd2 count:u flags:x
        execve filename:s argv:p envp:p
        execveat fd:f filename:s argv:p envp:p flags:x
        exit error_code:d
        exit_group error_code:d
        faccessat dfd:D filename:s mode:d
        faccessat2 dfd:D filename:s mode:d flags:x
        fadvise64 fd:f offset:u len:u advice:d
        fallocate fd:f mode:d offset:u len:u
        fanotify_init flags:fanotify event_f_flags:x
        fanotify_mark fanotify_fd:f flags:x mask:x dfd:D pathname:s
        fchdir fd:f
        fchmod fd:f mode:o
        fchmodat dfd:D filename:s mode:o
        fchmodat2 dfd:D filename:s mode:o flags:x
        fchown fd:f user:d group:d
        fchownat dfd:D filename:s user:d group:d flag:x
        fcntl fd:f cmd:fcntl arg:x
        fdatasync fd:f
        fgetxattr fd:f name:s value:p size:u
        file_getattr dfd:D filename:s ufattr:p usize:u at_flags:x
        file_setattr dfd:D filename:s ufattr:p usize:u at_flags:x
        finit_module fd:f uargs:s flags:x
        flistxattr fd:f list:p size:u
        flock fd:f cmd:u
        fork
        fremovexattr fd:f name:s
        fsconfig fd:f cmd:fsconfig key:s value:p aux:x
        fsetxattr fd:f name:s value:p size:u flags:x
        fsmount fs_fd:f flags:x attr_flags:x
        fsopen fs_name:s flags:x
        fspick dfd:D path:s flags:x
        fstat fd:f statbuf:p
        fstatfs fd:f buf:p
        fsync fd:f
        ftruncate fd:f length:u
        futex uaddr:p op:x val:u utime:p uaddr2:p val3:u
        futex_requeue waiters:p flags:x nr_wake:d nr_requeue:d
        futex_wait uaddr:p val:u mask:x flags:x timeout:p clockid:clock
        futex_waitv waiters:p nr_futexes:u flags:x timeout:p clockid:clock
        futex_wake uaddr:p mask:x nr:d flags:x
        futimesat dfd:D filename:s utimes:p
        get_kernel_syms table:p
        get_mempolicy policy:p nmask:p maxnode:u addr:x flags:x
        get_robust_list pid:d head_ptr:p len_ptr:p
        get_thread_area info:p
        getcpu cpup:p nodep:p unused:p
        getcwd buf:p size:u
        getdents fd:f dirent:p count:u
        getdents64 fd:f dirent:p count:u
        getegid
        geteuid
        getgid
        getgroups gidsetsize:d grouplist:p
        getitimer which:d value:p
        getpeername fd:f usockaddr:p usockaddr_len:p
        getpgid pid:d
        getpgrp
        getpid
        getpmsg
        getppid
        getpriority which:d who:d
        getrandom ubuf:p len:u flags:x
        getresgid rgidp:p egidp:p sgidp:p
        getresuid ruidp:p euidp:p suidp:p
        getrlimit resource:u rlim:p
        getrusage who:d ru:p
        getsid pid:d
        getsockname fd:f usockaddr:p usockaddr_len:p
        getsockopt fd:f level:level optname:d optval:p optlen:p
        gettid
        gettimeofday tv:p tz:p
        getuid
        getxattr pathname:s name:s value:p size:u
        getxattrat dfd:D pathname:s at_flags:x name:s uargs:p usize:u
        init_module umod:p len:u uargs:s
        inotify_add_watch fd:f pathname:s mask:x
        inotify_init
        inotify_init1 flags:x
        inotify_rm_watch fd:f wd:d
        io_cancel ctx_id:u iocb:p result:p
        io_destroy ctx:u
        io_getevents ctx_id:u min_nr:d nr:d events:p timeout:p
        io_pgetevents ctx_id:u min_nr:d nr:d events:p timeout:p usig:p
        io_setup nr_events:u ctxp:p
        io_submit ctx_id:u nr:d iocbpp:p
        io_uring_enter fd:f to_submit:u min_complete:u flags:x argp:p argsz:u
        io_uring_register fd:f opcode:d arg:p nr_args:u
        io_uring_setup entries:d params:p
        ioctl fd:f cmd:ioctl arg:x
        ioperm from:u num:u turn_on:d
        iopl level:u
        ioprio_get which:d who:d
        ioprio_set which:d who:d ioprio:d
        kcmp pid1:d pid2:d type:kcmp idx1:u idx2:u
        kexec_file_load kernel_fd:f initrd_fd:f cmdline_len:u cmdline:s flags:x
        kexec_load entry:x nr_segments:u segments:p flags:x
        keyctl option:keyctl arg2:x arg3:x arg4:x arg5:x
        kill pid:d sig:sig
        landlock_add_rule ruleset_fd:f rule_type:u rule_attr:u flags:x
        landlock_create_ruleset attr:u size:u flags:x
        landlock_restrict_self ruleset_fd:f flags:x
        lchown filename:s user:d group:d
        lgetxattr pathname:s name:s value:p size:u
        link oldname:s newname:s
        linkat olddfd:D oldname:s newdfd:D newname:s flags:x
        listen fd:f backlog:d
        listmount req:p mnt_ids:p nr_mnt_ids:u flags:x
        listns req:p ns_ids:p nr_ns_ids:u flags:x
        listxattr pathname:s list:p size:u
        listxattrat dfd:D pathname:s at_flags:x list:p size:u
        llistxattr pathname:s list:p size:u
        lookup_dcookie cookie:u buf:p len:u
        lremovexattr pathname:s name:s
        lseek fd:f offset:u whence:u
        lsetxattr pathname:s name:s value:p size:u flags:x
        lsm_get_self_attr attr:u ctx:p size:p flags:x
        lsm_list_modules ids:p size:p flags:x
        lsm_set_self_attr attr:u ctx:p size:u flags:x
        lstat filename:s statbuf:p
        madvise start:x len_in:u behavior:d
        map_shadow_stack addr:x size:u flags:x
        mbind start:x len:u mode:mpol nmask:p maxnode:u flags:x
        membarrier cmd:d flags:x cpu_id:d
        memfd_create uname:s flags:memfd
        memfd_secret flags:x
        migrate_pages pid:d maxnode:u old_nodes:p new_nodes:p
        mincore start:x len:u vec:p
        mkdir pathname:s mode:o
        mkdirat dfd:D pathname:s mode:o
        mknod filename:s mode:o dev:u
        mknodat dfd:D filename:s mode:o dev:u
        mlock start:x len:u
        mlock2 start:x len:u flags:x
        mlockall flags:x
        mmap addr:x len:u prot:prot flags:mmap fd:f off:u
        modify_ldt func:d ptr:p bytecount:u
        mount dev_name:s dir_name:s type:s flags:mount data:p
        mount_setattr dfd:D path:s flags:x uattr:p usize:u
        move_mount from_dfd:D from_pathname:s to_dfd:D to_pathname:s flags:x
        move_pages pid:d nr_pages:u pages:p nodes:p status:p flags:x
        mprotect start:x len:u prot:prot
        mq_getsetattr mqdes:f u_mqstat:p u_omqstat:p
        mq_notify mqdes:f u_notification:p
        mq_open u_name:s oflag:x mode:o u_attr:p
        mq_timedreceive mqdes:f u_msg_ptr:p msg_len:u u_msg_prio:p u_abs_timeout:p
        mq_timedsend mqdes:f u_msg_ptr:p msg_len:u msg_prio:u u_abs_timeout:p
        mq_unlink u_name:s
        mremap addr:x old_len:u new_len:u flags:x new_addr:u
        mseal start:x len:u flags:x
        msgctl msqid:d cmd:d buf:p
        msgget key:d msgflg:d
        msgrcv msqid:d msgp:p msgsz:u msgtyp:d msgflg:d
        msgsnd msqid:d msgp:p msgsz:u msgflg:d
        msync start:x len:u flags:x
        munlock start:x len:u
        munlockall
        munmap addr:x len:u
        name_to_handle_at dfd:D name:s handle:p mnt_id:p flag:x
        nanosleep rqtp:p rmtp:p
        newfstatat dfd:D filename:s statbuf:p flag:x
        nfsservctl cmd:d argp:p resp:p
        open filename:s flags:open mode:o
        open_by_handle_at mountdirfd:D handle:p flags:open
        open_tree dfd:D filename:s flags:opentree
        open_tree_attr dfd:D filename:s flags:opentree uattr:p usize:u
        openat dfd:D filename:s flags:open mode:o
        openat2 dfd:D filename:s how:p usize:u
        pause
        perf_event_open attr_uptr:p pid:d cpu:d group_fd:f flags:x
        personality personality:personality
        pidfd_getfd pidfd:f fd:f flags:x
        pidfd_open pid:d flags:x
        pidfd_send_signal pidfd:f sig:sig info:p flags:x
        pipe fildes:p
        pipe2 fildes:p flags:x
        pivot_root new_root:s put_old:s
        pkey_alloc flags:x init_val:u
        pkey_free pkey:d
        pkey_mprotect start:x len:u prot:prot pkey:d
        poll ufds:p nfds:u timeout_msecs:d
        ppoll ufds:p nfds:u tsp:p sigmask:p sigsetsize:u
        prctl option:prctl arg2:x arg3:x arg4:x arg5:x
        pread64 fd:f buf:p count:u pos:u
        preadv fd:f vec:p vlen:u pos_l:u pos_h:u
        preadv2 fd:f vec:p vlen:u pos_l:u pos_h:u flags:x
        prlimit64 pid:d resource:u new_rlim:p old_rlim:p
        process_madvise pidfd:f vec:p vlen:u behavior:d flags:x
        process_mrelease pidfd:f flags:x
        process_vm_readv pid:d lvec:p liovcnt:u rvec:p riovcnt:u flags:x
        process_vm_writev pid:d lvec:p liovcnt:u rvec:p riovcnt:u flags:x
        pselect6 n:d inp:p outp:p exp:p tsp:p sig:p
        ptrace request:ptrace pid:d addr:x data:x
        putpmsg
        pwrite64 fd:f buf:p count:u pos:u
        pwritev fd:f vec:p vlen:u pos_l:u pos_h:u
        pwritev2 fd:f vec:p vlen:u pos_l:u pos_h:u flags:x
        query_module name:s which:d buf:p bufsize:u ret:p
        quotactl cmd:x special:s id:d addr:p
        quotactl_fd fd:f cmd:u id:d addr:p
        read fd:f buf:p count:u
        readahead fd:f offset:u count:u
        readlink path:s buf:p bufsiz:d
        readlinkat dfd:D pathname:s buf:p bufsiz:d
        readv fd:f vec:p vlen:u
        reboot magic1:d magic2:d cmd:reboot arg:p
        recvfrom fd:f ubuf:p size:u flags:x addr:p addr_len:p
        recvmmsg fd:f mmsg:p vlen:u flags:x timeout:p
        recvmsg fd:f msg:p flags:x
        remap_file_pages start:x size:u prot:x pgoff:u flags:x
        removexattr pathname:s name:s
        removexattrat dfd:D pathname:s at_flags:x name:s
        rename oldname:s newname:s
        renameat olddfd:D oldname:s newdfd:D newname:s
        renameat2 olddfd:D oldname:s newdfd:D newname:s flags:x
        request_key type:s description:s callout_info:s destringid:keyring
        restart_syscall
        rmdir pathname:s
        rseq rseq:p rseq_len:u flags:x sig:sig
        rseq_slice_yield
        rt_sigaction sig:sig act:p oact:p sigsetsize:u
        rt_sigpending uset:p sigsetsize:u
        rt_sigprocmask how:d nset:p oset:p sigsetsize:u
        rt_sigqueueinfo pid:d sig:sig uinfo:p
        rt_sigreturn
        rt_sigsuspend unewset:p sigsetsize:u
        rt_sigtimedwait uthese:p uinfo:p uts:p sigsetsize:u
        rt_tgsigqueueinfo tgid:d pid:d sig:sig uinfo:p
        sched_get_priority_max policy:d
        sched_get_priority_min policy:d
        sched_getaffinity pid:d len:u user_mask_ptr:p
        sched_getattr pid:d uattr:p usize:u flags:x
        sched_getparam pid:d param:p
        sched_getscheduler pid:d
        sched_rr_get_interval pid:d interval:p
        sched_setaffinity pid:d len:u user_mask_ptr:p
        sched_setattr pid:d uattr:p flags:x
        sched_setparam pid:d param:p
        sched_setscheduler pid:d policy:d param:p
        sched_yield
        seccomp op:seccomp flags:seccompflags uargs:p
        security
        select n:d inp:p outp:p exp:p tvp:p
        semctl semid:d semnum:d cmd:d arg:x
        semget key:d nsems:d semflg:d
        semop semid:d tsops:p nsops:u
        semtimedop semid:d tsops:p nsops:u timeout:p
        sendfile out_fd:f in_fd:f offset:p count:u
        sendmmsg fd:f mmsg:p vlen:u flags:x
        sendmsg fd:f msg:p flags:x
        sendto fd:f buff:p len:u flags:x addr:a addr_len:d
        set_mempolicy mode:mpol nmask:p maxnode:u
        set_mempolicy_home_node start:x len:u home_node:u flags:x
        set_robust_list head:p len:u
        set_thread_area info:p
        set_tid_address tidptr:p
        setdomainname name:s len:d
        setfsgid gid:d
        setfsuid uid:d
        setgid gid:d
        setgroups gidsetsize:d grouplist:p
        sethostname name:s len:d
        setitimer which:d value:p ovalue:p
        setns fd:f flags:clone
        setpgid pid:d pgid:d
        setpriority which:d who:d niceval:d
        setregid rgid:d egid:d
        setresgid rgid:d egid:d sgid:d
        setresuid ruid:d euid:d suid:d
        setreuid ruid:d euid:d
        setrlimit resource:u rlim:p
        setsid
        setsockopt fd:f level:level optname:d optval:p optlen:d
        settimeofday tv:p tz:p
        setuid uid:d
        setxattr pathname:s name:s value:p size:u flags:x
        setxattrat dfd:D pathname:s at_flags:x name:s uargs:p usize:u
        shmat shmid:d shmaddr:p shmflg:d
        shmctl shmid:d cmd:d buf:p
        shmdt shmaddr:p
        shmget key:d size:u shmflg:d
        shutdown fd:f how:d
        sigaltstack uss:p uoss:p
        signalfd ufd:f user_mask:p sizemask:u
        signalfd4 ufd:f user_mask:p sizemask:u flags:x
        socket family:family type:socktype protocol:d
        socketpair family:family type:socktype protocol:d usockvec:p
        splice fd_in:f off_in:p fd_out:f off_out:p len:u flags:x
        stat filename:s statbuf:p
        statfs pathname:s buf:p
        statmount req:p buf:p bufsize:u flags:x
        statx dfd:D filename:s flags:x mask:x buffer:p
        swapoff specialfile:s
        swapon specialfile:s swap_flags:x
        symlink oldname:s newname:s
        symlinkat oldname:s newdfd:D newname:s
        sync
        sync_file_range fd:f offset:u nbytes:u flags:x
        syncfs fd:f
        sysfs option:d arg1:u arg2:x
        sysinfo info:p
        syslog type:syslog buf:p len:d
        tee fdin:f fdout:f len:u flags:x
        tgkill tgid:d pid:d sig:sig
        time tloc:p
        timer_create which_clock:clock timer_event_spec:p created_timer_id:p
        timer_delete timer_id:d
        timer_getoverrun timer_id:d
        timer_gettime timer_id:d setting:p
        timer_settime timer_id:d flags:x new_setting:p old_setting:p
        timerfd_create clockid:clock flags:x
        timerfd_gettime ufd:f otmr:p
        timerfd_settime ufd:f flags:x utmr:p otmr:p
        times tbuf:p
        tkill pid:d sig:sig
        truncate path:s length:d
        tuxcall
        umask mask:x
        umount2 name:s flags:umount
        uname name:p
        unlink pathname:s
        unlinkat dfd:D pathname:s flag:x
        unshare unshare_flags:clone
        uprobe
        uretprobe
        uselib library:s
        userfaultfd flags:userfault
        ustat dev:u ubuf:p
        utime filename:s times:p
        utimensat dfd:D filename:s utimes:p flags:x
        utimes filename:s utimes:p
        vfork
        vhangup
        vmsplice fd:f uiov:p nr_segs:u flags:x
        vserver
        wait4 upid:d stat_addr:p options:d ru:p
        waitid which:d upid:d infop:p options:d ru:p
        write fd:f buf:p count:u
        writev fd:f vec:p vlen:u
        """
}
