import CLinux
import Glibc
import Synchronization
import SystemCalls
import Testing

@Suite("Descriptors and their owners")
struct DescriptorTests {
    private func isOpen(_ number: Int32) -> Bool {
        fcntl(number, F_GETFD) != -1
    }

    private func open(_ path: String) throws(SystemFault) -> Descriptor {
        try Descriptor(unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC), "open", path)
    }

    /// What a number leads to, so that it can be told from another descriptor that another test gets by that number.
    private func isPipe(_ number: Int32, _ inode: UInt) -> Bool {
        var status = stat()
        return unsafe fstat(number, &status) == 0 && status.st_ino == inode && status.st_mode & S_IFMT == S_IFIFO
    }

    private func pipe() throws(SystemFault) -> (read: CarriedDescriptor, write: CarriedDescriptor) {
        var ends: [Int32] = [-1, -1]
        let result = unsafe vta_pipe(&ends)
        return (
            CarriedDescriptor(try Descriptor(result < 0 ? result : ends[0], "pipe", "(test)")),
            CarriedDescriptor(try Descriptor(ends[1], "pipe", "(test)"))
        )
    }

    private func inode(_ number: Int32) -> UInt {
        var status = stat()
        return unsafe fstat(number, &status) == 0 ? UInt(status.st_ino) : 0
    }

    @Test("one is closed when its owner ends, and not before")
    func closing() throws {
        let ends = try pipe()
        let number: Int32
        let identity: UInt
        do {
            guard let end = ends.read.take() else { throw SystemFault("take", "(test)") }
            number = end.number
            identity = inode(number)
            #expect(isPipe(number, identity))
        }
        #expect(!isPipe(number, identity))
        withExtendedLifetime(ends.write) {}
    }

    @Test("one that is carried can be taken once, and is closed with its carrier where nobody takes it")
    func carrying() throws {
        let ends = try pipe()
        let taken = ends.read.take()
        let again = ends.read.take()
        let (first, second) = (taken != nil, again != nil)
        #expect(first && !second)
        var number: Int32 = -1
        var identity: UInt = 0
        do {
            let other = try pipe()
            guard let end = other.read.take() else { throw SystemFault("take", "(test)") }
            (number, identity) = (end.number, inode(end.number))
            let carrier = CarriedDescriptor(end)
            #expect(isPipe(number, identity))
            withExtendedLifetime(carrier) {}
        }
        #expect(!isPipe(number, identity))
    }

    @Test("a refusal says which call, on what, and why")
    func refusal() throws {
        let fault = #expect(throws: SystemFault.self) { _ = try open("/no/such/file").number }
        #expect(fault?.observed == "open /no/such/file: No such file or directory (errno 2)")
        #expect(fault?.isOfLimits == false)
        #expect(SystemFault("accept4", "(socket)", number: EMFILE).limitRemedy == "Raise LimitNOFILE")
        #expect(SystemFault("write", "/x", number: ENOSPC).limitRemedy.isEmpty)
        #expect(SystemFault("epoll_ctl", "(descriptor 9)", number: ENOSPC).isOfLimits)
    }

    @Test("a directory's names are read anew each time, and no more than asked for")
    func names() throws {
        let directory = try open("/proc/self/fdinfo")
        let first = try directory.names(path: "/proc/self/fdinfo")
        let second = try directory.names(path: "/proc/self/fdinfo")
        #expect(first.contains(".") && first.count > 3)
        #expect(second.contains("."))
        #expect(try directory.names(limit: 2, path: "/proc/self/fdinfo").count == 2)
        let file = try open("/etc/passwd")
        #expect(throws: SystemFault.self) { try file.names(path: "/etc/passwd") }
    }
}
