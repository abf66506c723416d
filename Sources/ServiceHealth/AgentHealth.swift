// ServiceHealth: the state of the agent as values. The runtime fills them in; the status line, the status file, the metrics
// and the probes are made from them and from nothing else, so that they cannot contradict each other.

package import Diagnosis
package import Timekeeping
package import TokenLifecycle

/// Something that has been failing, and since when.
package struct Trouble: Hashable, Sendable {
    /// The latest failure.
    package var error: AgentError
    /// When the first of the row failed.
    package var since: WallTime
    /// Failures in a row, the latest included.
    package var attempts: Int

    package init(error: AgentError, since: WallTime, attempts: Int = 1) {
        self.error = error
        self.since = since
        self.attempts = attempts
    }
}

/// One sink of one token.
package struct SinkHealth: Hashable, Sendable {
    /// As the configuration tells sinks apart: "file /run/app/token". At most 200 bytes are shown.
    package var name: String
    /// Whether its readers find a token that is valid.
    package var delivered: Bool
    package var trouble: Trouble?

    package init(name: String, delivered: Bool, trouble: Trouble? = nil) {
        self.name = name
        self.delivered = delivered
        self.trouble = trouble
    }
}

/// What has happened to one token since the agent started.
package struct TokenCounters: Hashable, Sendable {
    package var logins = 0
    package var renewals = 0
    package var lookups = 0
    package var sinkWrites = 0
    /// Writes that put back what somebody had deleted or changed; they count as writes too.
    package var sinkRepairs = 0
    package var failures: [AgentError.Code: Int] = [:]

    package init() {}
}

/// One token.
package struct TokenHealth: Hashable, Sendable {
    package typealias Phase = LifecycleHealth.Phase
    /// What the agent does next of its own accord.
    package typealias Step = LifecycleHealth.Step

    /// As in the configuration: 1 to 64 of `a-z A-Z 0-9 . _ -`.
    package var name: String
    package var phase: Phase
    /// When the phase began.
    package var since: WallTime
    /// When the token in hand expires; nil without one, and for one that never expires.
    package var validUntil: WallTime?
    package var neverExpires = false
    /// Nil: readers of a sink have no valid token as it is.
    package var outageBudget: OutageBudget<WallTime>?
    /// The whole of the lease that ends then; nil: not known.
    package var lease: Duration?
    package var nextStep: Step?
    package var nextAt: WallTime?
    package var trouble: Trouble?
    /// Nothing is done for it yet, because this machine is not as its sinks need it; `trouble` says what is awaited.
    package var awaitsMachine = false
    package var sinks: [SinkHealth]
    package var counters = TokenCounters()
    /// A digest for each part of the configuration in force, by which a reload's plan is told; empty for children.
    package var configuration: [String: String] = [:]

    package init(name: String, phase: Phase, since: WallTime, sinks: [SinkHealth] = []) {
        self.name = name
        self.phase = phase
        self.since = since
        self.sinks = sinks
    }

    /// Whether there is more to tell than was told by `former`. How often Vault was asked whether a token still lives can wait
    /// for the next heartbeat: it is asked many times between two renewals.
    package func isNews(after former: TokenHealth) -> Bool {
        var same = former
        same.counters.lookups = counters.lookups
        return self != same
    }

    /// Whether every sink holds a valid token. A token whose renewal fails is served all the same until it expires.
    package var served: Bool {
        (phase == .fresh || phase == .struggling) && sinks.allSatisfy { $0.delivered }
    }

    /// Its own trouble, or else that of its first sink that has one.
    package var firstTrouble: Trouble? {
        trouble ?? sinks.lazy.compactMap(\.trouble).first
    }
}

/// A place where machines may ask how the agent is.
package struct ListenerHealth: Hashable, Sendable {
    package var address: String
    package var pages: HealthPages
    /// Why nobody can ask there now; it is tried again.
    package var trouble: Trouble?

    package init(address: String, pages: HealthPages, trouble: Trouble? = nil) {
        self.address = address
        self.pages = pages
        self.trouble = trouble
    }
}

/// How the latest reload ended.
package struct ReloadReport: Hashable, Sendable {
    package struct Token: Hashable, Sendable {
        package var token: String
        /// What has become of it: `kept`, `changed: sinks`, `added`…
        package var change: String

        package init(token: String, change: String) {
            self.token = token
            self.change = change
        }
    }

    /// Counts the reloads of this process, refused ones too.
    package var number: Int
    /// When it began: the configuration was read after that.
    package var at: WallTime
    package var tokens: [Token]
    /// Why nothing was changed; nil: the new configuration is in force.
    package var refused: AgentError?

    package init(number: Int, at: WallTime, tokens: [Token] = [], refused: AgentError? = nil) {
        self.number = number
        self.at = at
        self.tokens = tokens
        self.refused = refused
    }
}

/// How the latest `logout` went: every token revoked, every sink emptied, and none kept until a reload.
package struct LogoutReport: Hashable, Sendable {
    package struct Token: Hashable, Sendable {
        package var token: String
        /// Why it was not revoked; nil: it was, or there was none.
        package var failure: AgentError?

        package init(token: String, failure: AgentError?) {
            self.token = token
            self.failure = failure
        }
    }

    /// Counts those of this process.
    package var number: Int
    package var at: WallTime
    /// Names of those that are still being revoked, or whose sinks are still being emptied.
    package var pending: [String]
    package var tokens: [Token] = []

    package init(number: Int, at: WallTime, pending: [String]) {
        self.number = number
        self.at = at
        self.pending = pending
    }
}

/// The agent as a whole.
package struct AgentHealth: Hashable, Sendable {
    package var version: String
    package var startedAt: WallTime
    /// In the configuration's order.
    package var tokens: [TokenHealth]
    /// What is in force; nil where the reporter does not know.
    package var configuration: ConfigurationText?
    /// Why the last reload was refused; the configuration before it is in force. Nil after one that was accepted.
    package var configurationTrouble: AgentError?
    package var lastReload: ReloadReport?
    package var lastLogout: LogoutReport?
    package var stopping = false
    package var listeners: [ListenerHealth] = []
    /// Below which directories alone the process can write; nil: wherever its user may.
    package var confinedTo: [String]?
    /// How far STS's time is ahead of this machine's, where STS refused a signature for it; nil where they agree.
    package var clockCorrection: Duration?

    package init(version: String, startedAt: WallTime, tokens: [TokenHealth] = []) {
        self.version = version
        self.startedAt = startedAt
        self.tokens = tokens
    }

    /// The same, with what is in force.
    package func by(_ configuration: ConfigurationText?) -> AgentHealth {
        var health = self
        health.configuration = configuration
        return health
    }

    /// Since when no token is kept, because somebody said so; nil: tokens are kept.
    package var loggedOutSince: WallTime? {
        tokens.isEmpty ? lastLogout?.at : nil
    }

    /// Whether there is more to tell than was told by `former`; see ``TokenHealth/isNews(after:)``.
    package func isNews(after former: AgentHealth) -> Bool {
        guard tokens.count == former.tokens.count, !zip(tokens, former.tokens).contains(where: { $0.isNews(after: $1) })
        else { return true }
        var same = former
        same.tokens = tokens
        return self != same
    }

    /// Whether every sink of every token holds a valid token.
    ///
    /// This, and no more, is what READY=1, `/readyz` and `healthcheck` go by: an outage of Vault makes an agent unready only
    /// once a token has run out, since restarting the agent or its neighbours before that helps nobody.
    package var ready: Bool {
        !stopping && !tokens.isEmpty && tokens.allSatisfy({ $0.served })
    }
}
