// SimulatedWorld: whether readers live as long through an outage as the agent said when it began.

import ServiceHealth
import Timekeeping
import TokenLifecycle

extension World {
    /// What has been sent when the outage begins is answered by then, and reported.
    private static let settling: Duration = .seconds(60)

    /// Holds what is said to each outage of Vault, and of STS as Vault sees it.
    func planBudgetChecks() {
        for episode in vaultWeather.episodes where episode.isWhole {
            let said: @Sendable (OutageBudget<WallTime>) -> WallTime?
            switch episode.fault {
            case .refuses, .hangs, .sealed: said = { $0.withoutVault }
            case .stsUnreachable: said = { $0.isRenewedWithoutAWS ? nil : $0.withoutAWS }
            case .losesAnswers, .slow, .internalError, .throttles, .garbage, .halfAnswers, .emptyAnswers, .roleMissing:
                continue
            }
            _ = loop.schedule(at: episode.begin + Self.settling) { [unowned self] in
                holdToBudgets(said, until: episode.end)
            }
        }
    }

    /// `end`: of the outage.
    private func holdToBudgets(_ said: (OutageBudget<WallTime>) -> WallTime?, until end: Instant) {
        guard isOrderly(since: loop.now - .seconds(900)), let process, process.reloads.isEmpty,
            let reporter = self.process?.reporter
        else { return }
        for health in reporter.latest?.tokens ?? [] {
            let paths = paths(of: health)
            guard let until = health.outageBudget.flatMap(said), !paths.isEmpty,
                !paths.contains(where: { disk[$0].map { isRevoked($0) } ?? true })
            else { continue }
            let moment = reporter.reportedAt + (until - reporter.wallTime)
            guard moment + .seconds(5) < end, moment > loop.now else { continue }
            check(health.name, paths, at: moment - .milliseconds(100), areServed: true)
            // Moments are told in whole seconds, by an agent that counts from when it asked.
            check(health.name, paths, at: moment + .milliseconds(2_500), areServed: false)
        }
    }

    private func check(_ name: String, _ paths: [String], at moment: Instant, areServed: Bool) {
        guard let process, moment > loop.now else { return }
        let begun = loop.now
        _ = loop.schedule(at: moment) { [unowned self] in
            guard self.process === process, isOrderly(since: begun) else { return }
            budgetsChecked += 1
            let now = loop.now
            let isServed = paths.allSatisfy { path in
                guard let found = disk[path], let token = vault.tokens[found] else { return false }
                if areServed { return vault.isValid(found, at: now) }
                // A renewal whose answer was lost is one that nobody told of; a wrapping token is never renewed.
                return (token.inside == nil ? toldBound(token) : bound(found)).map { now < $0 } ?? true
            }
            guard isServed != areServed else { return }
            violate(
                .neverSilent,
                "\(name): readers \(isServed ? "still have" : "have no") valid token, against what was said of an outage"
            )
        }
    }

    /// Nobody has done anything since then, and the disk has been well.
    private func isOrderly(since moment: Instant) -> Bool {
        guard let process, !process.isStopping, lastDeedAt < moment, resumedAt < moment else { return false }
        return diskWeather.troubledUntil(at: loop.now).map { $0 < moment } ?? true
    }
}
