// Many who ask at once: one look-up, its outcome for all, and nobody lost when the first is called off.

import Crypto
import Diagnosis
import EventLoop
import Synchronization
import Testing
import Timekeeping

@testable import AWSIdentity

@Suite("A look-up that is shared")
struct FlightTests {
    /// Its users' queue.
    private actor Users {
        nonisolated let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
        private let flight = Flight<AWSCredentials>()
        private(set) var begun = 0
        private var gate: CheckedContinuation<Void, Never>?

        init(_ loop: EventLoop) { self.loop = loop }

        /// Waits at the gate until it is opened, or called off.
        func ask(failing: Bool = false) async -> Result<String, AgentError> {
            do throws(AgentError) {
                let credentials = try await flight.share { () throws(AgentError) in
                    self.begun += 1
                    await withCheckedContinuation { self.gate = $0 }
                    if Task.isCancelled { throw AgentError(.cancelled, "called off") }
                    if failing { throw AgentError(.awsMetadataUnavailable, "away") }
                    return AWSCredentials(
                        accessKeyID: "KEY\(self.begun)", secretAccessKey: Secret(text: "s"), sessionToken: nil,
                        expiration: nil, origin: "test")
                }
                return .success(credentials.accessKeyID)
            } catch {
                return .failure(error)
            }
        }

        func waitForBeginning() async {
            while begun == 0 { await Task.yield() }
        }

        /// Opens the gate once somebody waits at it.
        func open() async {
            while gate == nil { await Task.yield() }
            let waiting = gate
            gate = nil
            waiting?.resume()
        }
    }

    @Test("Forty ask, one look-up is made, all get its outcome, good or bad", arguments: [false, true])
    func shared(failing: Bool) async throws {
        let loop = try EventLoop(label: "flight")
        let users = Users(loop)
        let asking = (0..<40).map { _ in Task(executorPreference: loop) { await users.ask(failing: failing) } }
        await users.open()
        for one in asking {
            switch await one.value {
            case .success(let key): #expect(key == "KEY1" && !failing)
            case .failure(let error): #expect(error.code == .awsMetadataUnavailable && failing)
            }
        }
        #expect(await users.begun == 1)
    }

    @Test("Where the first is called off the next begins anew")
    func calledOff() async throws {
        let loop = try EventLoop(label: "flight")
        let users = Users(loop)
        let first = Task(executorPreference: loop) { await users.ask() }
        await users.waitForBeginning()
        let others = (0..<5).map { _ in Task(executorPreference: loop) { await users.ask() } }
        first.cancel()
        await users.open()
        let outcome = await first.value
        #expect(throws: AgentError.self) { try outcome.get() }
        await users.open()
        for one in others { #expect(try await one.value.get() == "KEY2") }
    }
}
