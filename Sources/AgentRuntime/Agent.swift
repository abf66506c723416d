// AgentRuntime: the one actor. Starts, reloads and stops, one after the other; rings the keepers' alarms, brings their work
// home.

import AWSIdentity
package import Configuration
package import Diagnosis
import FileSystem
import Logging
import ServiceHealth
import Timekeeping
import TokenSinks

/// The agent: every token of one configuration.
package actor Agent {
    /// Names a keeper even where a reload has put another one in its place under the same name.
    typealias KeeperID = UInt64

    /// A keeper and what is under way for it.
    final class RunningKeeper {
        let keeper: TokenKeeper
        var alarm: (moment: Instant, alarm: Alarm)?
        var work: [UInt64: Task<Void, Never>] = [:]
        /// How its tokens were when that was reported last.
        var reported: [TokenHealth] = []
        /// The configuration does not name it any more; it goes when all is done.
        var isDropped = false
        /// It goes because somebody has logged out, and it is told how that ends.
        var isLoggedOut = false

        init(_ keeper: TokenKeeper) {
            self.keeper = keeper
        }
    }

    package nonisolated let loop: any AgentLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.asUnownedSerialExecutor()
    }

    private let shared: SharedSurroundings
    var surroundings: AgentSurroundings { shared.all }
    let startedAt: WallTime
    var running: [KeeperID: RunningKeeper] = [:]
    /// Of the tokens that the configuration names, as it orders them.
    var order: [KeeperID] = []
    /// All that the configuration names, and those among them that cannot be taken up yet.
    var configured: [TokenSettings] = []
    /// ``AgentConfiguration/namesakes`` of the configuration in force.
    var namesakes: [String: String] = [:]
    var awaited = AwaitedTokens(generation: 0)
    private var lastID: UInt64 = 0
    private var pace = RequestPace()
    var turns = Turns()
    var configurationTrouble: AgentError?
    /// With each heartbeat.
    package var whenBeating: @Sendable () -> Void = {}
    /// Is told what only a new process has, of what was awaited.
    package var whenOutdated: @Sendable (AgentError) -> Void = { _ in }
    var lastReload: ReloadReport?
    private var reloadBegan: WallTime
    var lastLogout: LogoutReport?
    private var stopping = false
    var listeners: [ListenerHealth] = []
    /// ``AgentHealth/confinedTo``. To be set before ``start``.
    package var confinedTo: [String]?
    private var onFinish: (@Sendable () -> Void)?
    var reportAlarm: Alarm?
    var nextReport: Instant = .distantPast
    /// Requests and writes that have begun and not ended.
    var underWay = 0

    package init(surroundings: sending AgentSurroundings) {
        loop = surroundings.loop
        startedAt = surroundings.loop.wallTime
        reloadBegan = startedAt
        shared = SharedSurroundings(surroundings)
    }

    // MARK: Start, reload, stop

    /// Takes up every token of the configuration; one whose sinks this machine is not ready for is taken up once it is.
    /// Throws what makes the configuration impossible on any machine, having begun nothing.
    package func start(_ configuration: AgentConfiguration) async throws(AgentError) {
        await turns.take()
        defer { passTurn() }
        configured = configuration.tokens
        awaited = AwaitedTokens(generation: nextID(), configured.map { .init(settings: $0) })
        // What follows may wait for a name service, which is a start that goes on. It usually ends before the first beat: what an
        // earlier run left is then told of at once, as found.
        planBeat()
        try await put(inForce: configuration)
        watchIdentities()
        if surroundings.beatInterval != nil { sendReport(beat: true) }
    }

    /// Puts a new configuration in force, as ``ReloadPlan`` says. Why one cannot work is thrown, and nothing is changed.
    /// `isRepeated`: it was refused before; that it is so once more, for the same reason, is no news. `beforeItIsTold`: what else
    /// it moves, which whoever hears that the reload is done is to find moved.
    @discardableResult
    package func reload(
        _ configuration: AgentConfiguration, isRepeated: Bool = false,
        beforeItIsTold: @Sendable () async -> Void = {}
    ) async throws(AgentError) -> ReloadPlan {
        await turns.take()
        defer { passTurn() }
        let plan = ReloadPlan(
            from: keepersOnDuty.compactMap { $1.inForce?.fingerprint },
            to: configuration.tokens.map { TokenFingerprint($0) })
        do {
            try await put(inForce: configuration)
        } catch {
            refuseReload(error, isRepeated: isRepeated)
            throw error
        }
        configurationTrouble = nil
        surroundings.reporter.adopt(configuration.health)
        await beforeItIsTold()
        endReload(plan.report(number: nextReload, at: reloadBegan))
        return plan
    }

    /// A new configuration is about to be read. ``reload(_:isRepeated:)`` or ``refuseReload(_:isRepeated:)`` follows.
    package func expectReload(isRepeated: Bool = false) {
        reloadBegan = loop.wallTime
        if !isRepeated { surroundings.reporter.reloading() }
    }

    /// Notes that a new configuration cannot even be read; the one in force stays.
    package func refuseReload(_ error: AgentError, isRepeated: Bool = false) {
        guard !stopping, !isRepeated || error != configurationTrouble else { return }
        configurationTrouble = error
        endReload(ReloadReport(number: nextReload, at: reloadBegan, refused: error))
    }

    private var nextReload: Int { (lastReload?.number ?? 0) + 1 }

    private func endReload(_ report: ReloadReport) {
        lastReload = report
        reportNow()
        surroundings.reporter.reloaded(health(), at: loop.wallTime)
    }

    /// Logs in anew for every token, now. Children follow their parents.
    package func logInNow() {
        oneByOne(order[...]) { keeper in keeper.take(.loginRequested) }
    }

    /// Revokes every token, empties the sinks, and keeps no token until the next reload. ``AgentHealth/lastLogout`` tells how
    /// that goes: it takes up to a minute where Vault is away.
    package func logOut() async {
        await turns.take()
        defer { passTurn() }
        guard !stopping else { return }
        let ids = order
        (order, configured) = ([], [])
        awaited = AwaitedTokens(generation: nextID())
        lastLogout = LogoutReport(
            number: (lastLogout?.number ?? 0) + 1, at: loop.wallTime,
            pending: ids.compactMap { running[$0]?.keeper.name })
        for id in ids {
            guard let entry = running[id] else { continue }
            (entry.isDropped, entry.isLoggedOut) = (true, true)
            begin(entry.keeper.logOut(), for: id, entry)
        }
        reportNow()
    }

    /// Nobody is to fight it: what would log in by itself leaves that to a reload.
    package var isLoggedOut: Bool { order.isEmpty && awaited.isEmpty && lastLogout != nil }

    var isStopping: Bool { stopping }

    /// Those of the tokens that the configuration names.
    var keepersOnDuty: [(KeeperID, TokenKeeper)] {
        order.compactMap { id in running[id].map { (id, $0.keeper) } }
    }

    /// The token's children follow it.
    func logInAnew(_ id: KeeperID) {
        tell(id, .loginRequested)
    }

    /// Ends everything; calls `onFinish` when nothing is under way any more: at once, or after the revocation of tokens that
    /// are to be revoked, for which the core allows 3 s. A start or reload that is under way comes to nothing. What hangs is
    /// waited for no longer than ``longestWait``.
    package func stop(_ onFinish: @escaping @Sendable () -> Void) {
        guard !stopping else { return }
        stopping = true
        (configured, awaited) = ([], AwaitedTokens(generation: nextID()))
        self.onFinish = onFinish
        for (id, entry) in running.sorted(by: { $0.key < $1.key }) {
            let work = entry.keeper.end(dropped: false)
            if !entry.keeper.listensOn { entry.work.values.forEach { $0.cancel() } }
            begin(work, for: id, entry)
        }
        reportNow()
        _ = loop.schedule(at: loop.now + Self.longestWait) { [weak self] in
            self?.assumeIsolated { $0.finishIfDone(regardless: true) }
        }
        finishIfDone()
    }

    /// Longer than the core allows for revocations; with what is still to be settled then, shorter than the 4 s after which the
    /// service ends as it is.
    private static let longestWait: Duration = .milliseconds(3_050)

    /// A token's part of a configuration that is about to be put in force.
    typealias Prepared = (id: KeeperID, keeper: TokenKeeper, preparation: TokenKeeper.Preparation)

    /// First all is prepared, which may fail and shows nowhere; then all is put in force at once. Tokens that are awaited may
    /// stay so.
    private func put(inForce configuration: AgentConfiguration) async throws(AgentError) {
        var prepared: [Prepared] = []
        var still = AwaitedTokens(generation: nextID())
        for settings in configuration.tokens {
            do throws(AgentError) {
                prepared.append(try await prepare(settings, isReload: !order.isEmpty))
            } catch {
                guard let known = awaited[settings.name], error.code != .configurationInvalid else { throw error }
                still.insert(known.failed(error, settings, at: loop.wallTime))
            }
        }
        try await refuseTwins(among: prepared.flatMap(\.preparation.sinks), besides: configuration.namesakes)
        guard !stopping else { throw AgentError(.cancelled, "the agent stops") }
        let named = Set(prepared.map(\.id))
        (configured, namesakes) = (configuration.tokens, configuration.namesakes)
        let former = handOver(to: prepared)
        for (id, entry) in running.sorted(by: { $0.key < $1.key }) where !named.contains(id) {
            entry.isDropped = true
            begin(entry.keeper.end(dropped: true, taken: configuredPaths), for: id, entry)
        }
        (order, awaited) = ([], still)
        takeUp(prepared, former: former)
        lookAgain()
    }

    private var configuredPaths: Set<String> { Set(configured.flatMap(\.sinks).map(\.path)) }

    private func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    func prepare(_ settings: TokenSettings, isReload: Bool) async throws(AgentError) -> Prepared {
        let known = order.first { running[$0]?.keeper.name == settings.name }
        let keeper = known.flatMap { running[$0]?.keeper } ?? TokenKeeper(name: settings.name, in: shared)
        return (known ?? nextID(), keeper, try await keeper.prepare(settings, isReload: isReload))
    }

    /// Each would put right what the other has written, for ever. Equal paths the configuration refuses itself.
    func refuseTwins(
        among sinks: [KeptSink], besides namesakes: [String: String]
    ) async throws(AgentError) {
        var names = try await standings(of: namesakes)
        for sink in sinks {
            guard let standing = sink.standing, let other = names.updateValue(sink.name, forKey: standing) else {
                continue
            }
            throw AgentError(
                .configurationInvalid, "\(sink.name) and \(other) are one place: a directory on the way is a link",
                remedy: "Give each its own path")
        }
    }

    private func standings(of namesakes: [String: String]) async throws(AgentError) -> [SinkStanding: String] {
        guard !namesakes.isEmpty else { return [:] }
        return try await BlockingQueue(name: "namesakes").run { () throws(AgentError) in
            var names: [SinkStanding: String] = [:]
            for (path, name) in namesakes { if let standing = SinkStanding(path) { names[standing] = name } }
            return names
        }
    }

    /// The sinks of all tokens until now, by path: one at each. Each new one takes over from the one at its place.
    func handOver(to prepared: [Prepared]) -> [String: KeptSink] {
        var former: [String: KeptSink] = [:]
        let keepers = running.values.map(\.keeper).filter { !$0.isFinished }
        for sink in keepers.flatMap(\.allSinks) { former[sink.path] = sink }
        for (_, keeper, preparation) in prepared {
            for sink in keeper.newSinks(of: preparation) { former[sink.path]?.handOver() }
        }
        return former
    }

    /// Puts them in force, beside those of ``order``.
    func takeUp(_ prepared: [Prepared], former: [String: KeptSink]) {
        let paths = configuredPaths
        let new = prepared.map(\.id).filter { running[$0] == nil }
        for (index, (id, keeper, preparation)) in prepared.enumerated() {
            let entry = running[id] ?? RunningKeeper(keeper)
            running[id] = entry
            let pace = prepared.count > RequestPace.mostAtOnce ? RequestPace.gap * index : .zero
            let work = keeper.adopt(preparation, former: former, taken: paths, logInFrom: loop.now + pace) {
                [weak self] sink in
                self?.assumeIsolated { $0.tell(id, .sinkDisturbed(sink)) }
            }
            begin(work, for: id, entry)
        }
        let ids = byName(order + prepared.map(\.id))
        order = configured.compactMap { ids[$0.name] }
        oneByOne(new[...]) { keeper in keeper.begin() }
        report()
    }

    func byName(_ ids: [KeeperID]) -> [String: KeeperID] {
        var named: [String: KeeperID] = [:]
        for id in ids { if let name = running[id]?.keeper.name { named[name] = id } }
        return named
    }

    /// Does something that leads to a login for each of these: at once where they are few, else one after the other, so that a
    /// fleet of tokens is no storm.
    private func oneByOne(_ ids: ArraySlice<KeeperID>, _ step: @escaping @Sendable (TokenKeeper) -> [KeeperWork]) {
        guard ids.count > RequestPace.mostAtOnce else {
            for id in ids { self.step(id, step) }
            return
        }
        pace = RequestPace()
        next(of: ids, step)
    }

    /// The next is planned once this one has begun, so that a queue that was held up makes up for no time in a burst.
    private func next(of ids: ArraySlice<KeeperID>, _ step: @escaping @Sendable (TokenKeeper) -> [KeeperWork]) {
        guard let id = ids.first else { return }
        self.step(id, step)
        _ = loop.schedule(at: loop.now + pace.pause()) { [weak self] in
            self?.assumeIsolated { $0.next(of: ids.dropFirst(), step) }
        }
    }

    private func step(_ id: KeeperID, _ step: (TokenKeeper) -> [KeeperWork]) {
        guard let entry = running[id] else { return }
        begin(step(entry.keeper), for: id, entry)
        report()
    }

    // MARK: Work

    private func tell(_ id: KeeperID, _ news: KeeperNews) {
        guard let entry = running[id] else { return }
        let work = entry.keeper.take(news)
        pace.othersBegan(work.count(where: \.isRequest))
        begin(work, for: id, entry)
        if running[id] !== entry || isNews(entry) { report() }
    }

    private func begin(_ work: [KeeperWork], for id: KeeperID, _ entry: RunningKeeper) {
        for work in work {
            lastID += 1
            let number = lastID
            underWay += 1
            entry.work[number] = Task(executorPreference: loop) {
                await self.carryOut(work, number: number, for: id)
            }
        }
        setAlarm(for: id, entry)
        removeIfDone(id, entry)
    }

    private func carryOut(_ work: KeeperWork, number: UInt64, for id: KeeperID) async {
        let entry = running[id]
        let news = await entry?.keeper.perform(work)
        underWay -= 1
        guard let entry else { return }
        entry.work[number] = nil
        if let news { tell(id, news) } else { removeIfDone(id, entry) }
        finishIfDone()
    }

    private func setAlarm(for id: KeeperID, _ entry: RunningKeeper) {
        let wake = entry.keeper.wake
        guard wake != entry.alarm?.moment else { return }
        if let alarm = entry.alarm { loop.cancel(alarm.alarm) }
        entry.alarm = wake.map { moment in
            let alarm = loop.schedule(at: moment) { [weak self] in
                self?.assumeIsolated { agent in
                    agent.running[id]?.alarm = nil
                    agent.tell(id, .momentCame)
                    agent.finishIfDone()
                }
            }
            return (moment, alarm)
        }
    }

    private func removeIfDone(_ id: KeeperID, _ entry: RunningKeeper) {
        guard entry.isDropped, entry.keeper.isFinished, entry.work.isEmpty else { return }
        running[id] = nil
        guard entry.isLoggedOut, let index = lastLogout?.pending.firstIndex(of: entry.keeper.name) else { return }
        lastLogout?.pending.remove(at: index)
        lastLogout?.tokens.append(.init(token: entry.keeper.name, failure: entry.keeper.logoutFailure))
        report()
    }

    func passTurn() {
        turns.pass()
        finishIfDone()
    }

    /// Not in the midst of a write, nor of a start's look at a sink's directory: what is unfinished would stay there. A disk
    /// that hangs is not waited for: `regardless`.
    private func finishIfDone(regardless: Bool = false) {
        guard stopping, let onFinish else { return }
        let isBusy = turns.isTaken || running.values.contains { !$0.work.isEmpty }
        guard regardless || !isBusy, running.values.allSatisfy({ $0.keeper.isFinished }) else { return }
        self.onFinish = nil
        reportNow()
        Task(executorPreference: loop) { await self.end(onFinish) }
    }

    private func end(_ onFinish: @Sendable () -> Void) async {
        await settle()
        running = [:]
        onFinish()
    }
}
