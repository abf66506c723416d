// AgentRuntime: what the next start is to know, on its way to the state directory. It is there before readers see a token that it
// tells of; but a disk that hangs keeps no token from them.

import AWSIdentity
import Crypto
import Diagnosis
import Logging
import StateDirectory
import Timekeeping
import TokenLifecycle
import TokenSinks

extension TokenKeeper {
    /// Of records, the newest counts.
    struct Recording {
        fileprivate var isUnderWay = false
        /// What is to be kept once that is done; `.some(nil)`: none is to be left.
        var next: TakeoverRecord??
        /// Those who wait until all is kept.
        fileprivate var waiting: [@Sendable (Bool) -> Void] = []
        /// It takes so long that nobody waits for it any more.
        fileprivate var isOverdue = false
    }

    /// The longest that a token waits for its record, less where leases are short: its readers are to have it in time.
    private static let longestWait: Duration = .seconds(5)
    private static let shareOfLease: Int64 = 20
    /// A busy machine is no disk that hangs.
    private static let shortestWait: Duration = .milliseconds(250)

    func record(_ record: TakeoverRecord?) -> [KeeperWork] {
        guard surroundings.takeovers != nil else { return [] }
        recording.next = .some(record)
        guard !recording.isUnderWay else { return [] }
        recording.isUnderWay = true
        return [.record]
    }

    func keepRecord() async {
        while let record = recording.next {
            recording.next = nil
            await surroundings.takeovers?.keep(record, for: name)
        }
        if recording.isOverdue { log.notice("State directory answers again") }
        let waiting = recording.waiting
        recording = Recording()
        for done in waiting { done(true) }
    }

    func recorded(before content: SinkContent) async {
        let share = held[content.token]?.leaseDuration.map { $0 / Self.shareOfLease } ?? Self.longestWait
        let limit = min(max(share, Self.shortestWait), Self.longestWait)
        if await recorded(within: limit) || recording.isOverdue { return }
        recording.isOverdue = true
        log.warning(
            "Token cannot be taken over by the next start",
            metadata: [
                "reason": "the state directory has not answered for \(limit.text)",
                "remedy": "See whether its file system still answers",
            ])
    }

    /// Whether all that was to be kept is on disk, or cannot be, after at most `limit`; at once where it is overdue already.
    func recorded(within limit: Duration) async -> Bool {
        guard recording.isUnderWay else { return true }
        guard !recording.isOverdue else { return false }
        return await timekeeper.answer(within: limit) { done in recording.waiting.append(done) } ?? false
    }

    var memory: TakeoverRecord? {
        let entries = lifecycle.memory.sorted { $0.token.number > $1.token.number }.compactMap { each in
            held[each.token].map { token in
                TakeoverRecord.Entry(
                    sink: sink(each.sink).map { SHA256.digest(of: $0.path) },
                    token: SHA256.digest(of: token.token), origin: token.origin,
                    parent: each.parent.flatMap { held[$0].map { SHA256.digest(of: $0.token) } },
                    principal: token.principal, identity: token.identity?.record ?? "",
                    lease: TakeoverRecord.Lease(
                        expiry: each.lease.expiry.map {
                            TakeoverRecord.Moment(calendar: wallTime(of: $0), sinceBoot: $0)
                        }, full: each.lease.full,
                        renewable: each.lease.renewable, limitedUses: each.lease.limitedUses))
            }
        }
        return entries.isEmpty ? nil : TakeoverRecord(boot: surroundings.boot, entries: entries)
    }
}
