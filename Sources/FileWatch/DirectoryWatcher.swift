// FileWatch: an inotify instance. Tells who asked about a name that something has happened to it.
//
// One for all sinks, and one for the configuration where that is watched: the kernel grants a user 128 of them, shared with
// every other program of that user.

internal import CLinux
package import EventLoop
private import FileSystem
internal import Glibc
package import SystemCalls
private import Timekeeping

/// Watches directories and files. Lives on the event loop.
package actor DirectoryWatcher {
    /// One watched thing: a name in a directory, or a directory or file itself. What happens to the thing itself is
    /// told in either case.
    package struct Target: Hashable, Sendable {
        fileprivate let watch: Int32
        fileprivate let name: String?
    }

    /// What could be watched for a path, and why it is less than there should be.
    package struct Targets: Sendable {
        package fileprivate(set) var all: Set<Target> = []
        package fileprivate(set) var fault: SystemFault?

        package func union(_ others: Targets) -> Targets {
            Targets(all: all.union(others.all), fault: fault ?? others.fault)
        }
    }

    /// Names whoever is to be told.
    package struct Subscriber: Hashable, Sendable {
        fileprivate let identifier: UInt64
    }

    package nonisolated let loop: EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// Used from any thread.
    private nonisolated let inotify: Descriptor
    private var watch: Watch?
    private var handlers: [Subscriber: @Sendable () -> Void] = [:]
    private var subscriptions: [Subscriber: Set<Target>] = [:]
    /// By watch and name.
    private var interested: [Int32: [String?: Set<Subscriber>]] = [:]
    /// Watches that ended while somebody was about to subscribe to them.
    private var ended: Set<Int32> = []
    private var arming = 0
    /// When events came last that nobody wanted.
    private var lastVain: Instant?
    private var lastSubscriber: UInt64 = 0

    /// Throws where the kernel grants no instance.
    package init(loop: EventLoop) throws(SystemFault) {
        self.loop = loop
        inotify = try Descriptor(inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)), "inotify_init1", "(inotify)")
    }

    deinit {
        // Before the number can be another's.
        watch?.end()
    }

    /// To be called before anything else. Throws where the kernel does not let it be watched.
    package func start() throws(SystemFault) {
        watch = try loop.watch(borrowed: inotify.number, for: .readable) { [weak self] _ in
            self?.assumeIsolated { $0.drain() }
        }
    }

    // MARK: Watching

    /// Changes of a directory's names, and of the directory itself.
    private static let directoryEvents = UInt32(
        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
    /// Changes of a file's content and rights. On the file, not on its directory: what happens to its neighbours is no
    /// reason to wake up.
    private static let fileEvents = UInt32(
        IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW)

    /// Has the kernel watch the file and its directory; where there is no such directory, the nearest one above it, so
    /// that its return is noticed. May wait for a disk, and may be called from any thread.
    package nonisolated func arm(directory: String, name: String) -> Targets {
        var targets = Targets()
        var (directory, name) = (directory, name)
        var isOwn = true
        while true {
            do throws(SystemFault) {
                let watch = try add(directory, Self.directoryEvents)
                targets.all.insert(Target(watch: watch, name: name))
                break
            } catch {
                guard error.number == ENOENT || error.number == ENOTDIR, let above = splitPath(directory) else {
                    targets.fault = error
                    return targets
                }
                (directory, name) = above
                isOwn = false
            }
        }
        guard isOwn else { return targets }
        do throws(SystemFault) {
            let path = directory == "/" ? "/\(name)" : "\(directory)/\(name)"
            let watch = try add(path, Self.fileEvents)
            targets.all.insert(Target(watch: watch, name: nil))
        } catch {
            // A file that the agent may not read cannot be watched; its directory still tells when it is replaced.
            if error.number != ENOENT, error.number != EACCES { targets.fault = error }
        }
        return targets
    }

    /// Has the kernel watch all that decides what a path leads to: each link on the way, and the file at its end.
    package nonisolated func arm(following path: String) -> Targets {
        var targets = Targets()
        for step in LinkChain(path).steps {
            targets = targets.union(arm(directory: step.directory, name: step.name))
        }
        return targets
    }

    private nonisolated func add(_ path: String, _ events: UInt32) throws(SystemFault) -> Int32 {
        // Several sinks may watch one inode, as a directory of theirs or above it.
        let watch = unsafe inotify_add_watch(inotify.number, path, events | UInt32(IN_MASK_ADD))
        guard watch >= 0 else { throw SystemFault("inotify_add_watch", path) }
        return watch
    }

    // MARK: Subscribing

    /// Has `handler` called when something happens to one of the subscriber's targets.
    package func subscribe(_ handler: @escaping @Sendable () -> Void) -> Subscriber {
        lastSubscriber += 1
        let subscriber = Subscriber(identifier: lastSubscriber)
        handlers[subscriber] = handler
        return subscriber
    }

    /// Announces that ``arm(directory:name:)`` is about to be called.
    package func willArm() {
        arming += 1
    }

    /// Makes these the subscriber's targets. True where they are not what they were, so that something may have happened
    /// to them that nobody was told of.
    package func didArm(_ subscriber: Subscriber, _ targets: Targets) -> Bool {
        arming -= 1
        guard handlers[subscriber] != nil else {
            // It has unsubscribed in the meantime.
            for target in targets.all { endIfUnwanted(target.watch) }
            return false
        }
        let current = targets.all.filter { !ended.contains($0.watch) }
        if arming == 0 { ended = [] }
        let former = subscriptions.updateValue(current, forKey: subscriber) ?? []
        for target in current.subtracting(former) {
            interested[target.watch, default: [:]][target.name, default: []].insert(subscriber)
        }
        for target in former.subtracting(current) { drop(subscriber, target) }
        return current != former || current != targets.all
    }

    package func unsubscribe(_ subscriber: Subscriber) {
        handlers[subscriber] = nil
        for target in subscriptions.removeValue(forKey: subscriber) ?? [] { drop(subscriber, target) }
    }

    private func drop(_ subscriber: Subscriber, _ target: Target) {
        interested[target.watch]?[target.name]?.remove(subscriber)
        if interested[target.watch]?[target.name]?.isEmpty == true { interested[target.watch]?[target.name] = nil }
        if interested[target.watch]?.isEmpty == true { interested[target.watch] = nil }
        endIfUnwanted(target.watch)
    }

    private func endIfUnwanted(_ watch: Int32) {
        guard interested[watch] == nil else { return }
        inotify_rm_watch(inotify.number, watch)
        if arming > 0 { ended.insert(watch) }
    }

    // MARK: Events

    /// Between two looks while all that comes is about other files in the same directories, however often those change. The
    /// kernel keeps 16,384 events meanwhile (fs.inotify.max_queued_events), and what it drops is no loss: then all are told.
    private static let rest: Duration = .milliseconds(50)
    /// So long after such events the next ones are not alone: one now and then does not cost an alarm.
    private static let memoryOfVainLook: Duration = .milliseconds(200)

    private func drain() {
        let told = readEvents()
        for subscriber in told { handlers[subscriber]?() }
        guard told.isEmpty else { return }
        let now = loop.now
        defer { lastVain = now }
        guard let lastVain, now - lastVain < Self.memoryOfVainLook else { return }
        // Merely to be interested in nothing would not do: the kernel would still wake the loop's thread for each event.
        watch?.end()
        lookAgainLater()
    }

    private func lookAgainLater() {
        _ = loop.schedule(at: loop.now + Self.rest) { [weak self] in
            self?.assumeIsolated { watcher in
                do throws(SystemFault) {
                    try watcher.start()
                } catch {
                    watcher.lookAgainLater()
                }
            }
        }
    }

    /// Reads what has come, a buffer at a time; the epoll set reports again what is left. Who is concerned.
    private func readEvents() -> Set<Subscriber> {
        var told: Set<Subscriber> = []
        unsafe withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 8) { buffer in
            // SAFETY: the kernel writes whole events of at most the buffer's size and says how many bytes they are.
            let count = unsafe read(inotify.number, buffer.baseAddress, buffer.count)
            guard count > 0 else { return }
            let header = MemoryLayout<inotify_event>.size
            var offset = 0
            while offset + header <= count {
                let event = unsafe buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                let end = offset + header + Int(event.len)
                guard end <= count else { return }
                // The name is filled up with NUL bytes.
                let characters = unsafe buffer[offset + header..<end].prefix { $0 != 0 }
                let name = event.len == 0 ? nil : unsafe String(decoding: characters, as: UTF8.self)
                told.formUnion(concerned(by: event, name))
                offset = end
            }
        }
        return told
    }

    private func concerned(by event: inotify_event, _ name: String?) -> Set<Subscriber> {
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return Set(handlers.keys) }
        guard let names = interested[event.wd] else {
            if event.mask & UInt32(IN_IGNORED) != 0, arming > 0 { ended.insert(event.wd) }
            return []
        }
        guard let name else {
            let all = names.values.reduce(into: Set()) { $0.formUnion($1) }
            if event.mask & UInt32(IN_IGNORED) != 0 { forget(event.wd) }
            return all
        }
        return names[name] ?? []
    }

    /// The kernel has ended a watch: what it was on is gone.
    private func forget(_ watch: Int32) {
        if arming > 0 { ended.insert(watch) }
        for subscriber in interested.removeValue(forKey: watch)?.values.reduce(into: Set(), { $0.formUnion($1) }) ?? []
        {
            subscriptions[subscriber] = subscriptions[subscriber]?.filter { $0.watch != watch }
        }
    }
}
