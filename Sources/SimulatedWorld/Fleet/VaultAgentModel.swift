// SimulatedWorld: Vault Agent as its published sources describe it, for comparison. A model, not the program.

import Timekeeping
import TokenLifecycle

/// One Vault Agent's requests: the auto-auth loop of `agentproxyshared/auth` and the `LifetimeWatcher` of Vault's Go API.
///
/// - A login that fails is repeated after 1 s, doubled up to 5 min, each pause up to a quarter shorter by chance.
/// - A token is renewed right after its login, then whenever two thirds of its lease and a third of the grace have passed;
///   the grace is 10 to 20 % of the lease, drawn by chance: 70 to 73 % of the lease.
/// - A renewal that fails is repeated after 10 s, doubled up to 5 min, each pause up to half shorter or longer by chance.
/// - Where what is left of the lease, or would be left after the pause, is no more than the grace, it logs in anew.
/// - `Retry-After` is not heeded: the client's own retries are off.
final class VaultAgentModel {
    private let loop: SimulatedLoop
    private let server: FleetServer
    private var generator: SeededGenerator
    private var issuedAt = Instant.distantPast
    /// When what stands in the file stops being valid.
    private(set) var expiry = Instant.distantPast
    private var lease = Duration.zero
    private var grace = Duration.zero
    private var loginPause: Duration?
    private var renewal: (pause: Duration, since: Instant, patience: Duration)?

    private static let loginPauses = (least: Duration.seconds(1), most: Duration.seconds(300))
    private static let renewalPauses = (least: Duration.seconds(10), most: Duration.seconds(300))

    init(loop: SimulatedLoop, server: FleetServer, seed: UInt64) {
        self.loop = loop
        self.server = server
        generator = SeededGenerator(seed: seed)
    }

    func logIn() {
        ask { [self] served in
            guard served else {
                let pause =
                    loginPause.map { shortened(min($0 * 2, Self.loginPauses.most)) }
                    ?? shortened(Self.loginPauses.least)
                loginPause = pause
                after(pause) { $0.logIn() }
                return
            }
            loginPause = nil
            renewal = nil
            issuedAt = loop.now
            lease = min(server.scenario.lease, server.scenario.maximum)
            expiry = issuedAt + lease
            drawGrace()
            renew()
        }
    }

    private func renew() {
        ask { [self] served in
            let now = loop.now
            guard served else {
                retryRenewal(at: now)
                return
            }
            renewal = nil
            let before = lease
            lease = min(server.scenario.lease, issuedAt + server.scenario.maximum - now)
            expiry = now + lease
            if lease > before { drawGrace() }
            sleep(lease * (2.0 / 3) + grace / 3, left: lease)
        }
    }

    private func retryRenewal(at now: Instant) {
        let left = expiry - now
        let state = renewal ?? (Self.renewalPauses.least, now, left)
        guard now - state.since <= state.patience else {
            logIn()
            return
        }
        renewal = (min(state.pause * 2, Self.renewalPauses.most), state.since, state.patience)
        sleep(generator.share(of: state.pause, between: 0.5, and: 1.5), left: left)
    }

    private func sleep(_ pause: Duration, left: Duration) {
        if left <= grace || left - pause <= grace {
            logIn()
        } else {
            after(pause) { $0.renew() }
        }
    }

    private func drawGrace() {
        grace = generator.share(of: lease, between: 0.1, and: 0.2)
    }

    private func shortened(_ pause: Duration) -> Duration {
        generator.share(of: pause, between: 0.75, and: 1)
    }

    private func ask(_ then: @escaping (_ served: Bool) -> Void) {
        let served =
            switch server.admit() {
            case .served: true
            case .refused, .throttled: false
            }
        after(server.latency()) { _ in then(served) }
    }

    private func after(_ pause: Duration, _ then: @escaping (VaultAgentModel) -> Void) {
        // SAFETY: the loop calls back on the thread that this model lives on.
        nonisolated(unsafe) let (model, then) = (self, then)
        _ = loop.schedule(at: loop.now + pause) { unsafe then(model) }
    }
}
