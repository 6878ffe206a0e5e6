"""Programs that want something outside their process: files, secrets, a network, other processes, the kernel.

Each does what it wants, notes what was not refused and returns that, or `blocked`. What can be seen from outside is
looked at from there too (bait.py).
"""

from __future__ import annotations

from .attack import ESCAPE_TESTS, Attack


def _escape(name: str, program: str, **how: bool | str) -> Attack:
    return Attack(name, program, ESCAPE_TESTS, **how)


ESCAPES: tuple[Attack, ...] = (
    # -- reads ---------------------------------------------------------------------------------------------------------
    _escape(
        "reads a file of ours",
        """
def f():
    for path in (WHERE["secret"], WHERE["data"]): attempt(read, path)
    attempt(os.listdir, WHERE["folder"])
    return verdict()
""",
    ),
    _escape(
        "reads what tells about the machine and its users",
        """
import hashlib
def read_ours(path):
    '''Not where a container has another file of that name.'''
    return hashlib.sha256(read(path)).hexdigest() == WHERE["known"][path] or None
def f():
    for path in WHERE["known"]: attempt(read_ours, path)
    attempt(os.listdir, os.path.expanduser("~"))
    return verdict()
""",
    ),
    _escape("reads the source of edgesearch", 'def f():\n    attempt(read, WHERE["source"])\n    return verdict()'),
    _escape(
        "reads a file of ours by other ways to it",
        """
def f():
    secret = WHERE["secret"]
    roots = [f"/proc/{who}/root" for who in ("self", 1, os.getppid(), WHERE["pid"], WHERE["victim"])]
    for root in roots: attempt(read, root + secret)
    attempt(read, "../" * 40 + secret[1:])
    for fd in range(64):
        try: os.fstat(fd)
        except OSError: continue
        try: handle = os.open("../" * 40 + secret[1:], os.O_RDONLY, dir_fd=fd)
        except OSError: continue
        attempt(os.read, handle, 99)
    return verdict()
""",
    ),
    _escape(
        "reads a file of ours through a link",
        """
def f():
    for place in (".", "/tmp", "/dev/shm", WHERE["folder"]):
        for link in (os.symlink, os.link):
            name = os.path.join(place, WHERE["word"] + link.__name__)
            try: link(WHERE["secret"], name)
            except OSError: continue
            attempt(read, name)
            os.unlink(name)
    return verdict()
""",
    ),
    _escape(
        "looks for secrets in its environment and in that of every process",
        r"""
def f():
    texts = [repr(dict(os.environb)).encode(), *raw()]
    for pid in ("self", os.getppid(), *range(1, 40), *range(WHERE["pid"] - 20, WHERE["pid"] + 100)):
        for part in ("environ", "cmdline"):
            try: texts.append(read(f"/proc/{pid}/{part}") or b"")
            except OSError: pass
    for text in texts:
        if found := FOUND.search(text): gained.append(found[0].decode())
    return verdict()
def raw():
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(LIBC, "environ")
    for place in range(999):
        if not environ or environ[place] is None: return
        yield environ[place]
""",
    ),
    _escape(
        "reads what /proc tells of other processes",
        """
def f():
    for pid in (WHERE["pid"], WHERE["victim"]):
        for part in ("cmdline", "status", "stat", "cgroup", "mountinfo"): attempt(read, f"/proc/{pid}/{part}")
    for pid in (WHERE["pid"], WHERE["victim"], os.getppid(), 1):
        if pid in (os.getpid(), 0): continue
        for part in ("environ", "maps", "auxv"): attempt(read, f"/proc/{pid}/{part}")
        for part in ("fd", "map_files"): attempt(os.listdir, f"/proc/{pid}/{part}")
    return verdict()
""",
    ),
    _escape(
        "searches its own memory for secrets of tests, of ours and of earlier programs",
        r"""
import gc, struct
def f():
    for first, last in regions():
        if last - first < 1 << 28:
            gained.extend(found.decode() for found in FOUND.findall(ctypes.string_at(first, last - first)))
    return verdict()
def regions():
    try: lines = open("/proc/self/maps").readlines()
    except OSError: return around()
    spans = (line.split() for line in lines if line.split()[1].startswith("rw") and "[v" not in line)
    return [tuple(int(part, 16) for part in span[0].split("-")) for span in spans]
def around():
    '''Where something is mapped: tried, megabyte by megabyte from what is known, by a call that fails softly.'''
    near, out = os.pipe()
    def is_there(page):
        if LIBC.write(out, ctypes.c_void_p(page), 1) != 1: return False
        os.read(near, 1)
        return True
    known = {id(held) >> 20 for thing in gc.get_objects() for held in (thing, *gc.get_referents(thing))}
    wanted = {part << 20 for first in known for part in range(first - 1, first + 2)}
    pages = [page for first in sorted(wanted) for page in range(first, first + (1 << 20), 4096) if is_there(page)]
    spans = []
    for page in pages:
        if spans and spans[-1][1] == page: spans[-1] = spans[-1][0], page + 4096
        else: spans.append((page, page + 4096))
    return spans
""",
        before="import os\nleft = ['left-' + os.urandom(16).hex() for _ in range(999)]\ndef f(): return len(left)",
    ),
    _escape(
        "reads devices and the kernel's own files",
        """
def f():
    for path in ("/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/vda", "/dev/sda", "/dev/nvidiactl", "/dev/tty",
                 "/proc/kcore", "/proc/kallsyms", "/proc/keys"):
        attempt(read, path)
    return verdict()
""",
        fires=False,  # it depends on the machine
    ),
    # -- writes --------------------------------------------------------------------------------------------------------
    _escape(
        "writes where others can read it",
        """
def write(place):
    name = os.path.join(place, WHERE["word"])
    with open(name, "w") as file: file.write("x" * 100)
    return name
def f():
    attempt(write, WHERE["folder"])
    for place in (".", "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/home", os.path.expanduser("~")):
        try: write(place)
        except OSError: pass
    return verdict()
""",
    ),
    _escape(
        "changes a file of ours",
        """
def f():
    data = WHERE["data"]
    attempt(os.chmod, data, 0o777)
    attempt(os.utime, data, (0, 0))
    attempt(os.truncate, data, 0)
    attempt(open, data, "a")
    attempt(os.open, data, os.O_RDWR | os.O_CREAT)
    attempt(os.rename, data, data + "-moved")
    attempt(os.setxattr, data, "user.x", b"x")
    attempt(os.chown, data, os.getuid(), os.getgid())
    return verdict()
""",
    ),
    *(
        _escape(
            f"changes a folder of ours: {name}",
            f"""
def change(): return {code} or "done"
def f():
    data, new = WHERE["data"], WHERE["folder"] + "/" + WHERE["word"]
    globals().update(data=data, new=new)
    attempt(change)
    return verdict()
""",
        )
        for name, code in {
            "unlink": "os.unlink(data)",
            "chmod": "os.chmod(data, 0)",
            "rename": "os.rename(data, new)",
            "link": "os.link(data, new)",
            "symlink": "os.symlink(data, new)",
            "mkdir": "os.mkdir(new)",
            "mkfifo": "os.mkfifo(new)",
        }.items()
    ),
    _escape(
        "writes settings of the kernel",
        """
def f():
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
                 "/proc/self/oom_score_adj", "/proc/self/uid_map", "/proc/self/setgroups", "/proc/self/coredump_filter",
                 "/proc/self/attr/current", "/sys/power/state", "/sys/fs/cgroup/cgroup.procs", "/proc/self/mem",
                 "/proc/self/comm", "/proc/self/clear_refs"):
        attempt(os.open, path, os.O_WRONLY)
    return verdict()
""",
    ),
    # -- networks ------------------------------------------------------------------------------------------------------
    _escape(
        "connects to servers of ours",
        """
def reach(family, kind, address):
    import socket
    with socket.socket(family, kind) as made:
        made.settimeout(1)
        made.connect(address)
        made.send(b"x")
        return address
def f():
    inet, inet6, unix, stream, datagram = 2, 10, 1, 1, 2
    attempt(reach, inet, stream, ("127.0.0.1", WHERE["port"]))
    attempt(reach, inet, datagram, ("127.0.0.1", WHERE["udp"]))
    attempt(reach, unix, stream, WHERE["unix"])
    attempt(reach, unix, stream, "\\0" + WHERE["abstract"])
    return verdict()
""",
    ),
    _escape(
        "makes sockets of every family",
        """
def f():
    for family in (1, 2, 10, 16, 17, 38, 40, 44, 31, 15):
        for kind in (1, 2, 3, 5):
            attempt(call, "socket", family, kind, 0)
    return verdict()
""",
    ),
    # -- processes -----------------------------------------------------------------------------------------------------
    _escape(
        "signals other processes",
        """
import signal
TOLD = ctypes.create_string_buffer(b"\\9" + b"\\0" * 7 + b"\\xff" * 4, 128)
def queue(pid): return call("rt_sigqueueinfo", pid, 9, TOLD)
def by_descriptor(pid): return call("pidfd_send_signal", call("pidfd_open", pid, 0), 15, 0, 0)
def f():
    victim, parent = WHERE["victim"], WHERE["pid"]
    for sent in (0, signal.SIGCONT, signal.SIGSTOP, signal.SIGTERM): attempt(lambda: os.kill(victim, sent) or "sent")
    for pid in (parent, os.getppid(), 1, -1):
        if pid: attempt(lambda: os.kill(pid, 0) or f"could signal {pid}")
    attempt(call, "tgkill", victim, victim, 9)
    attempt(call, "tkill", victim, 9)
    attempt(queue, victim)
    attempt(by_descriptor, victim)
    return verdict()
""",
        may_die=True,
    ),
    _escape(
        "has the kernel signal another process",
        """
import fcntl, time
def f():
    near, out = os.pipe()
    attempt(fcntl.fcntl, near, 8, WHERE["victim"])
    attempt(fcntl.fcntl, near, 10, 9)
    try: fcntl.fcntl(near, fcntl.F_SETFL, 0o20000 | os.O_NONBLOCK)
    except OSError: pass
    os.write(out, b"x")
    time.sleep(0.1)
    return verdict()
""",
    ),
    _escape(
        "changes how other processes run",
        """
def set_nice(pid): return os.setpriority(os.PRIO_PROCESS, pid, 19) or "set"
def set_processors(pid): return os.sched_setaffinity(pid, {0}) or "set"
def set_class(pid): return os.sched_setscheduler(pid, 3, os.sched_param(0)) or "set"
def set_limit(pid): return call("prlimit64", pid, 4, ctypes.create_string_buffer(16), 0) or "set"
def set_disk(pid): return call("ioprio_set", 1, pid, 3 << 13) or "set"
def f():
    for pid in (WHERE["victim"], WHERE["pid"], os.getppid(), 1):
        for change in (set_nice, set_processors, set_class, set_limit, set_disk):
            if pid != os.getpid() and pid > 0: attempt(change, pid)
    return verdict()
""",
        fires=False,  # it would change the process that started it, and what that starts
    ),
    *(
        _escape(
            f"starts a process: {name}",
            f"""
def fork_by_module(work):
    import multiprocessing
    multiprocessing.get_context("fork").Process(target=work, args=(99,), daemon=True).start()
def start():
    import time
    pid = {code}
    if pid == 0:
        time.sleep(99)
        os._exit(0)
    return pid
def f():
    attempt(start)
    return verdict()
""",
        )
        for name, code in {
            "fork": "os.fork()",
            "forkpty": "os.forkpty()[0]",
            "posix_spawn": 'os.posix_spawn("/bin/sleep", ["sleep", "99"], {})',
            "subprocess": '__import__("subprocess").Popen(["/bin/sleep", "99"]).pid',
            "os.system": 'os.system("exec sleep 99 &") != 127 << 8 or None',  # as if the shell had not been found
            "clone": 'call("clone", 17, 0, 0, 0, 0)',
            "clone3": 'call("clone3", (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17), 88)',
            "multiprocessing": "fork_by_module(time.sleep) or 1",
        }.items()
    ),
    _escape(
        "starts a process: vfork",
        """
def start(): return call("vfork") or os._exit(0)
def f():
    attempt(start)
    return verdict()
""",
        fires=False,  # it would share its stack with the one that started it
    ),
    _escape(
        "leaves a daemon behind",
        """
import signal, time
def daemon():
    if os.fork(): return "forked"
    os.setsid()
    if os.fork(): os._exit(0)
    for number in range(1, 32):
        try: signal.signal(number, signal.SIG_IGN)
        except OSError: pass
    os.closerange(0, 64)
    time.sleep(99)
    os._exit(0)
def f():
    attempt(daemon)
    return verdict()
""",
    ),
    _escape(
        "becomes another program",
        'def f():\n    attempt(os.execv, "/bin/sh", ["sh", "-c", "sleep 99"])\n    return verdict()',
        may_die=True,
        fires=False,
    ),
    _escape(
        "becomes a program in memory",
        """
def become():
    fd = call("memfd_create", b"x", 0)
    with open(fd, "wb", closefd=False) as file: file.write(b"#!/bin/sh\\nsleep 99\\n")
    os.execve(fd, ["x"], {})
def f():
    try: become()
    except OSError: return "blocked"
    return "became"
""",
        may_die=True,
        fires=False,
    ),
    _escape(
        "leaves its session",
        """
def leave(): return call("setsid")
def leave_group(): return call("setpgid", 0, 0) or "left"
def f():
    attempt(leave)
    attempt(leave_group)
    return verdict()
""",
    ),
    _escape(
        "reads and writes the memory of other processes",
        """
def peek(pid):
    taken, there = ctypes.create_string_buffer(64), (ctypes.c_uint64 * 2)(0x400000, 64)
    here = (ctypes.c_uint64 * 2)(ctypes.addressof(taken), 64)
    return call("process_vm_readv", pid, here, 1, there, 1, 0)
def trace(pid): return call("ptrace", 0x4206, pid, 0, 0) or "traced"
def attach(pid): return call("ptrace", 16, pid, 0, 0) or "traced"
def compare(pid): return call("kcmp", os.getpid(), pid, 0, 0, 0)
def take(pid): return call("pidfd_getfd", call("pidfd_open", pid, 0), 0, 0)
def memory(pid): return os.open(f"/proc/{pid}/mem", os.O_RDWR)
def f():
    for pid in (WHERE["victim"], WHERE["pid"], os.getppid()):
        for action in (peek, compare, take, memory, trace, attach):
            if pid > 0: attempt(action, pid)
    return verdict()
""",
        fires=False,  # it would trace the process that started it
    ),
    # -- the kernel ----------------------------------------------------------------------------------------------------
    _escape(
        "makes or enters namespaces",
        """
def make(flag): return call("unshare", flag) or "made"
def clone(flag): return call("clone", flag | 17, 0, 0, 0, 0) or os._exit(0)
def enter(name): return call("setns", os.open(f"/proc/{os.getppid()}/ns/{name}", os.O_RDONLY), 0) or "entered"
def f():
    for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000, 0x2000000, 0x80):
        attempt(make, flag)
        attempt(clone, flag)
        attempt(clone, flag | 0x10000000)
    for name in ("user", "mnt", "net", "pid"): attempt(enter, name)
    return verdict()
""",
        fires=False,  # some machines let no user make any
    ),
    _escape(
        "mounts and changes its root",
        """
def f():
    attempt(call, "mount", b"x", b"/tmp", b"tmpfs", 0, 0)
    attempt(call, "umount2", b"/proc", 2)
    attempt(call, "pivot_root", b"/", b"/tmp")
    attempt(call, "chroot", b"/tmp")
    attempt(call, "fsopen", b"tmpfs", 0)
    attempt(call, "open_tree", -100, b"/", 1)
    return verdict()
""",
        fires=False,  # needs rights, and would change the machine
    ),
    _escape(
        "asks the kernel for what leads out",
        """
def f():
    buffer = ctypes.create_string_buffer(256)
    attempt(call, "io_uring_setup", 8, buffer)
    attempt(call, "bpf", 0, buffer, 72)
    attempt(call, "keyctl", 0, -3, 1)
    attempt(call, "add_key", b"user", b"x", b"x", 1, -3)
    attempt(call, "perf_event_open", buffer, 0, -1, -1, 0)
    attempt(call, "userfaultfd", 1)
    attempt(call, "fanotify_init", 0x200, 0)
    attempt(call, "open_by_handle_at", -100, buffer, 0)
    return verdict()
""",
    ),
    _escape(
        "asks the kernel for what only root may",
        """
def f():
    buffer = ctypes.create_string_buffer(256)
    attempt(call, "init_module", buffer, 0, b"")
    attempt(call, "finit_module", 0, b"", 0)
    attempt(call, "kexec_load", 0, 0, 0, 0)
    attempt(call, "swapon", b"/none", 0)
    attempt(call, "syslog", 3, buffer, 256)
    if os.uname().machine == "x86_64":
        attempt(call, "iopl", 3)
        attempt(call, "ioperm", 0, 1, 1)
    return verdict()
""",
        fires=False,  # root would get it
    ),
    _escape(
        "makes objects that outlive it",
        """
def f():
    key = WHERE["key"]
    attempt(call, "shmget", key, 4096, 0o1666)
    attempt(call, "msgget", key, 0o1666)
    attempt(call, "semget", key, 1, 0o1666)
    attempt(call, "mq_open", WHERE["word"].encode(), 0o102, 0o666, 0)
    return verdict()
""",
        fires=False,  # they would stay
    ),
    _escape(
        "watches files of ours",
        """
def f():
    attempt(call, "inotify_add_watch", call_softly("inotify_init1"), WHERE["folder"].encode(), 0xFFF)
    return verdict()
def call_softly(name):
    try: return call(name, 0)
    except OSError: return -1
""",
        fires=False,
    ),
    _escape(
        "takes back the rights that it gave up",
        """
import resource
UNLIMITED = resource.RLIM_INFINITY
def raise_limit(number): return resource.setrlimit(number, (UNLIMITED, UNLIMITED)) or "raised"
def f():
    for limit in ("CPU", "AS", "FSIZE", "NOFILE", "CORE"): attempt(raise_limit, getattr(resource, "RLIMIT_" + limit))
    LIBC.prctl(38, 0, 0, 0, 0)
    if LIBC.prctl(39, 0, 0, 0, 0) == 0: gained.append("programs may give new rights")
    if LIBC.prctl(21, 0, 0, 0, 0) == 0: gained.append("no filter of system calls")
    for capability in range(41):
        if LIBC.prctl(47, 2, capability, 0, 0) == 0: gained.append(f"could raise ambient capability {capability}")
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    attempt(call, "capset", header, rights)
    if os.getuid(): attempt(lambda: os.setuid(0) or "is root")
    if 0 not in os.getgroups(): attempt(lambda: os.setgroups([0]) or "is in root's group")
    return verdict()
""",
    ),
    _escape(
        "calls the kernel by its other doors",
        """
import mmap
def other(number, *given):
    result = LIBC.syscall(0x40000000 + number, *given)
    if result < 0: raise OSError(ctypes.get_errno(), "x32")
    return result
def door(number, first):
    '''32-bit calls: mov eax, NUMBER; mov ebx, FIRST; int 0x80; ret.'''
    page = mmap.mmap(-1, 4096, prot=7)
    number, first = number.to_bytes(4, "little"), first.to_bytes(4, "little")
    page.write(b"\\x53\\xb8" + number + b"\\xbb" + first + b"\\xcd\\x80\\x5b\\xc3")
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if result < 0: raise OSError(-result, "int 0x80")
    if result == 0: os._exit(0)
    return result
def f():
    if os.uname().machine != "x86_64": return "blocked"
    attempt(other, 41, 2, 1, 0)
    attempt(other, 57)
    attempt(door, 2, 0)
    return verdict()
""",
        may_die=True,
        fires=False,  # kernels may be built without
    ),
    _escape(
        "types into our terminal",
        """
import fcntl
def type_in(fd): return fcntl.ioctl(fd, 0x5412, b"x") or "typed"
def f():
    for fd in range(3): attempt(type_in, fd)
    attempt(os.open, "/dev/tty", os.O_RDWR)
    return verdict()
""",
        fires=False,
    ),
    # -- other programs ------------------------------------------------------------------------------------------------
    _escape(
        "finds what an earlier program left in the interpreter",
        """
import builtins, json, signal
def f():
    def is_slow(): return os.getpriority(os.PRIO_PROCESS, 0) > 15 or None
    attempt(is_slow)
    if hasattr(builtins, "left") or hasattr(json, "left") or "left" in sys.modules: gained.append("a name")
    if "LEFT" in os.environ or os.umask(0o22) == 0o27: gained.append("the environment")
    if len([1]) != 1 or json.dumps(1) != "1" or sys.getrecursionlimit() == 9999: gained.append("a changed function")
    if signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN or sys.gettrace(): gained.append("a handler")
    return verdict()
""",
        before="""
import builtins, json, os, signal, sys
builtins.left = json.left = sys.modules["left"] = 1
os.environ["LEFT"] = "1"
os.umask(0o27)
try: os.setpriority(os.PRIO_PROCESS, 0, 19)
except OSError: pass
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
sys.setrecursionlimit(9999)
json.dumps = lambda thing: "2"
def f(): return 0
""",
        fires=False,
    ),
    _escape(
        "finds what an earlier program left in files and memory that is shared",
        """
def f():
    for place in (".", "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/run/user", os.path.expanduser("~")):
        attempt(read, os.path.join(place, WHERE["word"]))
    attempt(call, "shmget", WHERE["key"], 4096, 0)
    attempt(call, "mq_open", WHERE["word"].encode(), 0, 0, 0)
    return verdict()
""",
        before="""
def put(path):
    with open(path, "w") as file: file.write("left")
def f():
    for place in (".", "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/run/user", os.path.expanduser("~")):
        try: put(os.path.join(place, WHERE["word"]))
        except OSError: pass
    for made in (("shmget", WHERE["key"], 4096, 0o1666), ("mq_open", WHERE["word"].encode(), 0o102, 0o666, 0)):
        try: call(*made)
        except OSError: pass
    return 0
""",
        fires=False,
    ),
)
"""By what they want."""
