// EventLoop: whether this process may have the threads and the memory that it is going to need.
//
// Without threads each slow disk holds up all else, and whatever finds no memory ends the process without a word. So both are
// tried before the first queue.

private import CLinux
internal import Diagnosis
private import Glibc
private import SystemCalls

enum WorkerRoom {
    /// The loop's, those that wait for disks, libcurl's for a name, and one that starts a child: as many as were ever seen, and
    /// two more.
    private static let threads: Int32 = 6
    /// Bytes beside their stacks. An agent with one token takes 10 MiB.
    private static let memory = 16 << 20

    /// What a try has shown; made once for the process.
    static let fault: AgentError? = {
        // SAFETY: a mapping of our own, which nothing points into and which goes before the closure ends.
        let room = unsafe mmap(nil, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard unsafe room != MAP_FAILED else {
            return lacking("mmap of \(memory >> 20) MiB: \(errorText(errno))")
        }
        defer { unsafe munmap(room, memory) }
        let problem = vta_try_threads(threads)
        return problem == 0 ? nil : lacking("pthread_create for \(threads) threads: \(errorText(problem))")
    }()

    private static func lacking(_ observed: String) -> AgentError {
        AgentError(
            .internalFault, "too little memory, or too few threads allowed: \(observed)",
            remedy:
                "Raise LimitAS, LimitDATA or TasksMax of the unit, ulimit -v or -d of the shell, or the container's pids.max"
        )
    }
}
