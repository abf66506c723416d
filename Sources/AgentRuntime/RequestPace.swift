// AgentRuntime: how fast many tokens log in, so that a start is no storm.

import Timekeeping

/// Spreads the logins of many tokens; what the others ask meanwhile counts as well.
struct RequestPace {
    /// More logins than these are spread.
    static let mostAtOnce = 50
    /// Least time between two requests: at most 182 a second, 1,000 logins in 6 s.
    static let gap: Duration = .microseconds(5_500)

    /// Other requests that have begun, and that no login has made room for.
    private var others = 0

    /// Requests to Vault that do not wait for their turn have begun: lookups, renewals, attempts after a failure.
    mutating func othersBegan(_ count: Int) {
        others = min(others + count, Self.mostAtOnce)
    }

    /// From the start of one login to the next. A login makes room for one other request at most: where those alone are as
    /// many as there may be, every second turn is a login's all the same.
    mutating func pause() -> Duration {
        guard others > 0 else { return Self.gap }
        others -= 1
        return Self.gap * 2
    }
}
