// AgentRuntime: the one actor. Starts and stops the keepers, rings their alarms, brings their work home, says how all are.

package import Configuration
package import Diagnosis
package import ServiceHealth
import Timekeeping
import TokenLifecycle

/// The agent: every token of one configuration.
package actor Agent {
    /// Names a keeper even where a reload has put another one in its place under the same name.
    private typealias KeeperID = UInt64

    /// A keeper and what is under way for it.
    private final class Post {
        let keeper: TokenKeeper
        var alarm: (moment: Instant, alarm: Alarm)?
        var work: [UInt64: Task<Void, Never>] = [:]

        init(_ keeper: TokenKeeper) {
            self.keeper = keeper
        }
    }

    package nonisolated let loop: any AgentLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.asUnownedSerialExecutor()
    }

    private let surroundings: AgentSurroundings
    private let startedAt: WallTime
    private var posts: [KeeperID: Post] = [:]
    private var order: [KeeperID] = []
    private var lastID: UInt64 = 0
    private var configurationTrouble: AgentError?
    private var stopping = false
    private var onFinish: (@Sendable () -> Void)?
    private var reportAlarm: Alarm?
    private var lastReport: Instant?

    package init(surroundings: sending AgentSurroundings) {
        loop = surroundings.loop
        startedAt = surroundings.loop.wallTime
        self.surroundings = surroundings
    }

    // MARK: Start, reload, stop

    /// Takes up every token of the configuration. Throws what makes that impossible, having begun nothing.
    package func start(_ configuration: AgentConfiguration) async throws(AgentError) {
        var begun: [(TokenKeeper, LifecycleEvent)] = []
        for settings in configuration.tokens {
            let keeper = try makeKeeper(settings)
            begun.append((keeper, try await keeper.begin()))
        }
        for (keeper, event) in begun { install(keeper, beginningWith: event) }
        beat()
    }

    /// Puts a new configuration in force: tokens whose settings are the same go on undisturbed, changed ones start anew,
    /// removed ones are let go. A configuration that cannot work changes nothing and is thrown.
    package func reload(_ configuration: AgentConfiguration) async throws(AgentError) {
        var begun: [(TokenKeeper, LifecycleEvent)] = []
        defer { surroundings.reporter.reloaded(health(), at: loop.wallTime) }
        do {
            for settings in configuration.tokens
            where !order.contains(where: { posts[$0]?.keeper.settings == settings }) {
                let keeper = try makeKeeper(settings)
                begun.append((keeper, try await keeper.begin()))
            }
        } catch {
            refuse(error)
            throw error
        }
        guard !stopping else { return }
        for id in order where !configuration.tokens.contains(where: { $0 == posts[id]?.keeper.settings }) {
            dismiss(id)
        }
        for (keeper, event) in begun { install(keeper, beginningWith: event) }
        let names = configuration.tokens.map(\.name)
        order.sort { place(of: $0, in: names) < place(of: $1, in: names) }
        configurationTrouble = nil
        surroundings.reporter.adopt(configuration.health)
        report()
    }

    /// A new configuration is about to be read. ``reload(_:)`` or ``refuseReload(_:)`` follows.
    package func expectReload() {
        surroundings.reporter.reloading()
    }

    /// Notes that a new configuration cannot even be read; the one in force stays.
    package func refuseReload(_ error: AgentError) {
        refuse(error)
        surroundings.reporter.reloaded(health(), at: loop.wallTime)
    }

    private func refuse(_ error: AgentError) {
        configurationTrouble = error
        report()
    }

    /// Logs in anew for every token, now.
    package func logInNow() {
        for id in order { event(id, .loginRequested) }
    }

    /// Ends everything; calls `onFinish` when nothing is under way any more: at once, or after the revocation of tokens that
    /// are to be revoked, for which the core allows 3 s.
    package func stop(_ onFinish: @escaping @Sendable () -> Void) {
        guard !stopping else { return }
        stopping = true
        self.onFinish = onFinish
        for id in order {
            posts[id]?.work.values.forEach { $0.cancel() }
            event(id, .stopRequested)
        }
        reportNow()
        finishIfDone()
    }

    private func makeKeeper(_ settings: TokenSettings) throws(AgentError) -> TokenKeeper {
        lastID += 1
        return try TokenKeeper(settings, in: surroundings, serial: lastID)
    }

    private func install(_ keeper: TokenKeeper, beginningWith first: LifecycleEvent) {
        lastID += 1
        let id = lastID
        posts[id] = Post(keeper)
        order.append(id)
        keeper.watchSinks { [weak self] in
            self?.assumeIsolated { $0.event(id, .sinkDisturbed) }
        }
        event(id, first)
    }

    private func dismiss(_ id: KeeperID) {
        guard let post = posts.removeValue(forKey: id) else { return }
        order.removeAll { $0 == id }
        if let alarm = post.alarm { loop.cancel(alarm.alarm) }
        post.work.values.forEach { $0.cancel() }
        post.keeper.close()
    }

    private func place(of id: KeeperID, in names: [String]) -> Int {
        posts[id].flatMap { names.firstIndex(of: $0.keeper.settings.name) } ?? names.count
    }

    private func finishIfDone() {
        guard stopping, let onFinish, posts.values.allSatisfy({ $0.keeper.isFinished && $0.work.isEmpty }) else {
            return
        }
        self.onFinish = nil
        reportNow()
        for id in order { dismiss(id) }
        onFinish()
    }

    // MARK: Events and work

    private func event(_ id: KeeperID, _ event: LifecycleEvent) {
        guard let post = posts[id] else { return }
        for work in post.keeper.handle(event) { begin(work, for: id, post) }
        setAlarm(for: id, post)
        report()
    }

    private func begin(_ work: KeeperWork, for id: KeeperID, _ post: Post) {
        lastID += 1
        let number = lastID
        post.work[number] = Task(executorPreference: loop) {
            await self.carryOut(work, number: number, for: id)
        }
    }

    private func carryOut(_ work: KeeperWork, number: UInt64, for id: KeeperID) async {
        guard let post = posts[id] else { return }
        let outcome = await post.keeper.perform(work)
        post.work[number] = nil
        if let outcome { event(id, outcome) }
        finishIfDone()
    }

    private func setAlarm(for id: KeeperID, _ post: Post) {
        let wake = post.keeper.wake
        guard wake != post.alarm?.moment else { return }
        if let alarm = post.alarm { loop.cancel(alarm.alarm) }
        post.alarm = wake.map { moment in
            let alarm = loop.schedule(at: moment) { [weak self] in
                self?.assumeIsolated { agent in
                    agent.posts[id]?.alarm = nil
                    agent.event(id, .timerFired)
                }
            }
            return (moment, alarm)
        }
    }

    // MARK: Health

    /// How the agent is now.
    package func health() -> AgentHealth {
        var health = AgentHealth(
            version: surroundings.version, startedAt: startedAt, tokens: order.compactMap { posts[$0]?.keeper.health() }
        )
        health.configurationTrouble = configurationTrouble
        health.stopping = stopping
        return health
    }

    /// A page of the health server, as things are now.
    package func answer(to page: HealthPage) -> HealthAnswer {
        HealthAnswer(page, health(), surroundings.metrics, at: loop.wallTime)
    }

    /// The tokens that are held, in the configuration's order.
    package func summaries() -> [LoginSummary] {
        order.compactMap { posts[$0]?.keeper.summary() }
    }

    /// Reports at once where the last report is old enough, else a little later, together with what comes until then.
    private func report() {
        guard reportAlarm == nil else { return }
        let now = loop.now
        let earliest = (lastReport ?? .distantPast) + Self.betweenReports
        if earliest <= now {
            sendReport(beat: false)
        } else {
            reportAlarm = loop.schedule(at: earliest) { [weak self] in
                self?.assumeIsolated { agent in
                    agent.reportAlarm = nil
                    agent.sendReport(beat: false)
                }
            }
        }
    }

    /// For the last words: nobody may be there to ring an alarm for them.
    private func reportNow() {
        if let reportAlarm { loop.cancel(reportAlarm) }
        reportAlarm = nil
        sendReport(beat: false)
    }

    /// Least time between two reports: a fleet of tokens in one process changes all the time while it starts.
    private static let betweenReports: Duration = .milliseconds(100)

    private func sendReport(beat: Bool) {
        lastReport = loop.now
        let (health, now) = (health(), loop.wallTime)
        surroundings.reporter.report(health, at: now, beat: beat)
        surroundings.reporter.publish(surroundings.metrics, of: health, at: now, beat: beat)
    }

    private func beat() {
        guard let interval = surroundings.beatInterval, !stopping else { return }
        sendReport(beat: true)
        _ = loop.schedule(at: loop.now + interval) { [weak self] in
            self?.assumeIsolated { $0.beat() }
        }
    }
}
