// StateDirectory: small files that only the agent reads, each replaced as a whole. A disk that hangs holds nobody up for long.

private import Crypto
private import FileSystem
private import Synchronization
package import SystemCalls
package import Timekeeping

/// The files of one state directory. Works on a queue of its own; whatever is asked for later comes later.
package final class StateFiles: Sendable {
    /// How long a start waits for a disk before it goes on as if nothing were there.
    package static let patience: Duration = .seconds(5)

    let directory: String
    private let queue = BlockingQueue(name: "state")
    private let timekeeper: any Timekeeper
    private let reads = Mutex(Reads())

    /// Those under way; once one was given up, no other is begun until all have come to an end.
    private struct Reads {
        var underWay = 0
        var areGivenUp = false
    }

    /// `directory` is absolute and exists.
    package init(directory: String, timekeeper: any Timekeeper) {
        self.directory = directory
        self.timekeeper = timekeeper
    }

    /// Nil where there is no such file, it cannot be read or is longer, or nothing has come after ``patience``: that is waited
    /// for once, not for each file.
    package func content(of name: String, limit: Int) async -> String? {
        guard begins() else { return nil }
        let answer: String?? = await timekeeper.answer(within: Self.patience) { done in
            queue.submit { [self] in
                let content = try? Directory(directory).content(of: name, limit: limit)
                reads.withLock { $0.underWay -= 1 }
                done(content.flatMap { $0 }?.text)
            }
        }
        if answer == nil { reads.withLock { $0.areGivenUp = true } }
        return answer.flatMap { $0 }
    }

    private func begins() -> Bool {
        reads.withLock { reads in
            if reads.underWay == 0 { reads.areGivenUp = false }
            guard !reads.areGivenUp else { return false }
            reads.underWay += 1
            return true
        }
    }

    /// Tells `done`, on the files' queue, why the old content still stands; nil: the new one is on disk. Nil as `text`: no file.
    package func replace(
        _ name: String, with text: String?, _ done: @escaping @Sendable (SystemFault?) -> Void
    ) {
        queue.submit { [directory] in
            do throws(SystemFault) {
                let directory = try Directory(directory)
                if let text {
                    try directory.replace(name, with: Secret(text: text), rights: .agentOnly)
                } else {
                    directory.remove(name)
                }
                done(nil)
            } catch {
                done(error)
            }
        }
    }
}
