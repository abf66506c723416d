// The command line: the process of the running agent, told something by a signal.

private import CLinux
internal import Diagnosis
private import Glibc
private import SystemCalls

enum RunningAgent {
    /// Throws `commandFailed` where there is no such process, or it may not be signalled.
    static func signal(_ process: Int32, _ number: Int32) throws(AgentError) {
        do throws(SystemFault) {
            // The descriptor stands for the process, even if its number is used again.
            let handle = try Descriptor(vta_pidfd_open(process), "opening process", "\(process)")
            guard vta_pidfd_send_signal(handle.number, number) == 0 else {
                throw SystemFault("signalling process", "\(process)")
            }
        } catch {
            throw AgentError(
                .commandFailed, error.observed,
                remedy: error.number == EPERM
                    ? "Do it as the agent's user or as root"
                    : "The agent may be in another container: there it has another number, which --pid takes")
        }
    }
}
