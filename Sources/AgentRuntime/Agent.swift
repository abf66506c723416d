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
        /// The keepers of tokens that are made from this one's.
        var children: [KeeperID] = []
        var alarm: (moment: Instant, alarm: Alarm)?
        var work: [UInt64: Task<Void, Never>] = [:]
        /// The configuration does not name it any more; it goes when all is done.
        var isLeaving = false

        init(_ keeper: TokenKeeper) {
            self.keeper = keeper
        }
    }

    package nonisolated let loop: any AgentLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.asUnownedSerialExecutor()
    }

    /// A configured token's keepers, its own first and then those of its children, tried out and not yet at work.
    private struct Candidate {
        let keepers: [TokenKeeper]
        let first: LifecycleEvent
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
    private var nextReport: Instant = .distantPast

    package init(surroundings: sending AgentSurroundings) {
        loop = surroundings.loop
        startedAt = surroundings.loop.wallTime
        self.surroundings = surroundings
    }

    // MARK: Start, reload, stop

    /// Takes up every token of the configuration. Throws what makes that impossible, having begun nothing.
    package func start(_ configuration: AgentConfiguration) async throws(AgentError) {
        install(try await tryOut(configuration.tokens))
        beat()
    }

    /// Puts a new configuration in force: tokens whose settings are the same go on undisturbed, changed ones start anew,
    /// removed ones are let go. A configuration that cannot work changes nothing and is thrown.
    package func reload(_ configuration: AgentConfiguration) async throws(AgentError) {
        defer { surroundings.reporter.reloaded(health(), at: loop.wallTime) }
        let inForce = Set(order.compactMap { posts[$0]?.keeper.settings })
        let candidates: [Candidate]
        do {
            candidates = try await tryOut(configuration.tokens.filter { !inForce.contains($0) })
        } catch {
            refuse(error)
            throw error
        }
        guard !stopping else {
            candidates.forEach { $0.keepers.forEach { $0.close() } }
            return
        }
        retire(allBut: configuration.tokens)
        install(candidates)
        let places = Dictionary(uniqueKeysWithValues: configuration.tokens.enumerated().map { ($1.name, $0) })
        order.sort { (place(of: $0, in: places), $0) < (place(of: $1, in: places), $1) }
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

    /// Logs in anew for every token, now. Children follow their parents.
    package func logInNow() {
        spread(order.filter { posts[$0]?.keeper.isChild == false }.map { ($0, .loginRequested) })
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

    /// Makes the keepers of these tokens and has them try their sinks. Where one cannot work, none is left behind.
    private func tryOut(_ tokens: [TokenSettings]) async throws(AgentError) -> [Candidate] {
        var candidates: [Candidate] = []
        var made: [TokenKeeper] = []
        do {
            for settings in tokens {
                lastID += 1
                let keepers = try TokenKeeper.make(settings, in: surroundings, serial: lastID)
                made += keepers
                let first = try await keepers[0].begin()
                for child in keepers.dropFirst() { _ = try await child.begin() }
                candidates.append(Candidate(keepers: keepers, first: first))
            }
        } catch {
            made.forEach { $0.close() }
            throw error
        }
        return candidates
    }

    private func install(_ candidates: [Candidate]) {
        var beginnings: [(KeeperID, LifecycleEvent)] = []
        for candidate in candidates {
            let ids = candidate.keepers.map { install($0) }
            posts[ids[0]]?.children = Array(ids.dropFirst())
            beginnings.append((ids[0], candidate.first))
        }
        spread(beginnings)
        report()
    }

    private func install(_ keeper: TokenKeeper) -> KeeperID {
        lastID += 1
        let id = lastID
        posts[id] = Post(keeper)
        order.append(id)
        keeper.watchSinks { [weak self] in
            self?.assumeIsolated { $0.event(id, .sinkDisturbed) }
        }
        return id
    }

    /// Hands out events that each lead to a login: at once where they are few, else one after another, so that a fleet of
    /// tokens is no storm.
    private func spread(_ events: [(KeeperID, LifecycleEvent)]) {
        guard events.count > Self.mostLoginsAtOnce else {
            for (id, event) in events { self.event(id, event) }
            return
        }
        beginNext(of: events[...])
    }

    /// Begins the first and plans the next from now, so that a queue that was held up makes up for no time in a burst.
    private func beginNext(of events: ArraySlice<(KeeperID, LifecycleEvent)>) {
        guard let (id, first) = events.first else { return }
        event(id, first)
        let rest = events.dropFirst()
        guard !rest.isEmpty else { return }
        _ = loop.schedule(at: loop.now + Self.betweenLogins) { [weak self] in
            self?.assumeIsolated { $0.beginNext(of: rest) }
        }
    }

    private static let mostLoginsAtOnce = 50
    /// Least time between the starts of two logins where there are many: at most 182 a second, 1,000 tokens in 6 s.
    private static let betweenLogins: Duration = .microseconds(5_500)

    /// Lets go of every token that is not among these: one of a name that is gone as its policy says, one whose settings
    /// have changed at once, for its successor takes over what it has put into its sinks. One that is listed nowhere any
    /// more is emptied.
    private func retire(allBut tokens: [TokenSettings]) {
        let (names, settings) = (Set(tokens.map(\.name)), Set(tokens))
        let paths = Set(tokens.flatMap(\.sinks).map(\.path))
        for id in order {
            guard let post = posts[id], !settings.contains(post.keeper.settings) else { continue }
            if names.contains(post.keeper.settings.name) {
                letGo(id, post, doing: post.keeper.giveWay(paths: paths))
            } else {
                letGo(id, post, doing: post.keeper.letGo())
            }
        }
    }

    /// The last work for a token is done before it is dismissed.
    private func letGo(_ id: KeeperID, _ post: Post, doing last: [KeeperWork]) {
        order.removeAll { $0 == id }
        post.isLeaving = true
        post.work.values.forEach { $0.cancel() }
        for work in last { begin(work, for: id, post) }
        setAlarm(for: id, post)
        dismissIfDone(id, post)
    }

    private func dismissIfDone(_ id: KeeperID, _ post: Post) {
        if post.isLeaving, post.keeper.isFinished, post.work.isEmpty { dismiss(id) }
    }

    private func dismiss(_ id: KeeperID) {
        guard let post = posts.removeValue(forKey: id) else { return }
        order.removeAll { $0 == id }
        if let alarm = post.alarm { loop.cancel(alarm.alarm) }
        post.work.values.forEach { $0.cancel() }
        post.keeper.close()
    }

    private func place(of id: KeeperID, in places: [String: Int]) -> Int {
        posts[id].flatMap { places[$0.keeper.settings.name] } ?? places.count
    }

    private func finishIfDone() {
        guard stopping, let onFinish, posts.values.allSatisfy({ $0.keeper.isFinished && $0.work.isEmpty }) else {
            return
        }
        self.onFinish = nil
        reportNow()
        for id in posts.keys { dismiss(id) }
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
        if case .deliver = work { tellChildren(of: post) }
        dismissIfDone(id, post)
        finishIfDone()
    }

    /// After each attempt to write a parent's token: its children come after it, and do not wait for a sink that fails.
    private func tellChildren(of post: Post) {
        for child in post.children {
            if let news = posts[child]?.keeper.parentDelivered() { event(child, news) }
        }
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
        if nextReport <= now {
            sendReport(beat: false)
        } else {
            reportAlarm = loop.schedule(at: nextReport) { [weak self] in
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
    /// A report tells of every token, so it costs more the more there are. At most a twentieth of the time goes into
    /// reports, however many tokens there are and however slow the machine is.
    private static let reportsShare: Int64 = 20

    private func sendReport(beat: Bool) {
        let began = loop.now
        let (health, now) = (health(), loop.wallTime)
        surroundings.reporter.report(health, at: now, beat: beat)
        surroundings.reporter.publish(surroundings.metrics, of: health, at: now, beat: beat)
        let ended = loop.now
        nextReport = max(
            began + Self.betweenReports, ended + .nanoseconds((ended - began).nanoseconds * Self.reportsShare))
    }

    private func beat() {
        guard let interval = surroundings.beatInterval, !stopping else { return }
        sendReport(beat: true)
        _ = loop.schedule(at: loop.now + interval) { [weak self] in
            self?.assumeIsolated { $0.beat() }
        }
    }
}
