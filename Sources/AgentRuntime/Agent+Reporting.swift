// AgentRuntime: how the agent is, told to systemd, the status file, metrics and whoever asks; not more often than it is worth.

import AWSIdentity
import Diagnosis
package import HTTPServer
package import ServiceHealth
import Timekeeping

extension Agent {
    /// How the agent is now.
    package func health() -> AgentHealth {
        health { $0.keeper.health() }
    }

    private func health(of tokens: (RunningKeeper) -> [TokenHealth]) -> AgentHealth {
        var health = AgentHealth(
            version: surroundings.version, startedAt: startedAt,
            tokens: awaited.isEmpty
                ? order.flatMap { running[$0].map(tokens) ?? [] } : healthBesideAwaited(of: tokens))
        health.configurationTrouble = configurationTrouble
        health.lastReload = lastReload
        health.lastLogout = lastLogout
        health.clockCorrection = surroundings.chains.signingTime?.correction
        health.stopping = isStopping
        health.listeners = listeners
        health.confinedTo = confinedTo
        return health
    }

    /// What a machine is told that asks for one of these pages, as things are now.
    package func answer(to request: ServerRequest, among pages: HealthPages) -> ServerReply {
        pages.reply(to: request, health(), surroundings.metrics, at: loop.wallTime)
    }

    /// Where machines may ask.
    package func note(_ listeners: [ListenerHealth]) {
        guard listeners != self.listeners else { return }
        self.listeners = listeners
        report()
    }

    /// The metrics tell it whenever they are asked for.
    package func countLostRecords(by count: @escaping @Sendable () -> Int) {
        surroundings.metrics.lostRecords = count
    }

    /// The tokens that are held, in the configuration's order.
    package func summaries() -> [LoginSummary] {
        order.flatMap { running[$0]?.keeper.summaries() ?? [] }
    }

    /// Whether there is more to tell of its tokens than was reported. To look at all others too, as a report does, would make
    /// each lookup the dearer the more tokens there are.
    func isNews(_ entry: RunningKeeper) -> Bool {
        let now = entry.keeper.health()
        return now.count != entry.reported.count || zip(now, entry.reported).contains { $0.isNews(after: $1) }
    }

    /// Reports at once where the last report is old enough, else a little later, together with what comes until then. What is
    /// under way is given a pause too: most of it ends sooner, and then one report tells its beginning and its end.
    func report() {
        let now = loop.now
        let moment = underWay == 0 ? nextReport : max(nextReport, now + surroundings.reporter.leastPause)
        if moment <= now {
            reportNow()
        } else if reportAlarm == nil {
            reportAlarm = loop.schedule(at: moment) { [weak self] in
                self?.assumeIsolated { agent in
                    agent.reportAlarm = nil
                    agent.sendReport(beat: false)
                }
            }
        }
    }

    /// For what somebody waits for, and for the last words: nobody may be there to ring an alarm for them.
    func reportNow() {
        if let reportAlarm { loop.cancel(reportAlarm) }
        reportAlarm = nil
        sendReport(beat: false)
    }

    /// A report tells of every token, so it costs more the more there are. At most a twentieth of a processor's time goes
    /// into reports, however many tokens there are. What a disk or a busy machine lets them wait is no such cost: the newest
    /// report then waits its turn, and no pause comes on top.
    private static let reportsShare: Int64 = 20

    func sendReport(beat: Bool) {
        let (began, workBefore) = (loop.now, loop.processorTime)
        let now = loop.wallTime
        let health = health { entry in
            entry.reported = entry.keeper.health()
            return entry.reported
        }
        surroundings.reporter.report(health, at: now, beat: beat)
        surroundings.reporter.publish(surroundings.metrics, of: health, at: now, beat: beat)
        let work = loop.processorTime - workBefore + surroundings.reporter.workOfWriting
        nextReport = max(
            began + surroundings.reporter.leastPause, loop.now + .nanoseconds(work.nanoseconds * Self.reportsShare))
    }

    /// What was to be kept and told is on disk, where the disk takes no longer than ``longestSettling``.
    package func settle() async {
        let deadline = loop.now + Self.longestSettling
        for (_, entry) in running.sorted(by: { $0.key < $1.key }) {
            _ = await entry.keeper.recorded(within: max(.zero, deadline - loop.now))
        }
        let reporter = surroundings.reporter
        let _: Void? = await loop.answer(within: max(.zero, deadline - loop.now)) { done in
            reporter.whenSettled { done(()) }
        }
    }

    /// The core takes up to 3 s for the end, and the process has 4.
    private static let longestSettling: Duration = .milliseconds(900)

    func planBeat() {
        guard let interval = surroundings.beatInterval else { return }
        _ = loop.schedule(at: loop.now + interval) { [weak self] in
            self?.assumeIsolated { $0.beat() }
        }
    }

    func beat() {
        guard !isStopping else { return }
        sendReport(beat: true)
        whenBeating()
        planBeat()
    }
}
