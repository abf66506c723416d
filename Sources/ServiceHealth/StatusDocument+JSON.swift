// ServiceHealth: the status document as JSON, written and read.

private import Crypto
package import Diagnosis
private import SecretJSON

extension StatusDocument {
    /// The document as text, indented for a reader of the file, with a newline at its end.
    package var json: String {
        JSONText.object([
            "format": .number(format),
            "version": .text(version),
            "pid": .number(pid),
            "started_at": .text(startedAt),
            "written_at": .text(writtenAt),
            "ready": .flag(ready),
            "once_ready": onceReady.map { .flag($0) },
            "stopping": .flag(stopping),
            "configuration": configuration?.json,
            "configuration_trouble": configurationTrouble?.json,
            "last_reload": lastReload?.json,
            "last_logout": lastLogout?.json,
            "listeners": .list(
                listeners.map { listener in
                    .object([
                        "address": .text(listener.address), "serves": .text(listener.serves),
                        "trouble": listener.trouble?.json,
                    ])
                }),
            "confined_to": confinedTo.map { .list($0.map { .text($0) }) },
            "clock_behind_seconds": clockBehindSeconds.map { .number(Int($0)) },
            "tokens": .elements(count: tokens.count) { [tokens] in tokens[$0].json },
        ]).laidOut
    }

    /// Throws `fileUnreadable` for what is not a status document of a format this version knows.
    package init(json bytes: [UInt8], from path: String) throws(AgentError) {
        guard let document = try? JSONValue(reading: Secret(bytes), values: Self.largestFile),
            let found = document["format"]?.integer
        else {
            throw AgentError(
                .fileUnreadable, "\(path) is not a status file of vault-token-agent",
                remedy: "Give the path that status_file names in the configuration")
        }
        guard found == Self.currentFormat else {
            throw AgentError(
                .fileUnreadable, "\(path) has format \(found), this version reads \(Self.currentFormat)",
                remedy: "Use the vault-token-agent that wrote it")
        }
        do throws(Damage) {
            self = try Self(Members(document))
        } catch {
            throw AgentError(.fileUnreadable, "\(path) is damaged: \(error)", remedy: "The agent writes it anew soon")
        }
    }

    private init(_ members: Members) throws(Damage) {
        format = try members.number("format")
        version = try members.text("version")
        pid = try members.number("pid")
        startedAt = try members.text("started_at")
        writtenAt = try members.text("written_at")
        ready = try members.flag("ready")
        onceReady = try members.flagIfPresent("once_ready")
        stopping = try members.flag("stopping")
        configuration = try members.object("configuration").map { value throws(Damage) in
            try ConfigurationText(value)
        }
        configurationTrouble = try members.object("configuration_trouble").map { value throws(Damage) in
            try Failure(value)
        }
        lastReload = try members.object("last_reload").map { value throws(Damage) in try Reload(value) }
        lastLogout = try members.object("last_logout").map { value throws(Damage) in try Logout(value) }
        listeners = try members.list("listeners").map { value throws(Damage) in
            Listener(
                address: try value.text("address"), serves: try value.text("serves"),
                trouble: try value.object("trouble").map { trouble throws(Damage) in try Failure(trouble) })
        }
        confinedTo = try members.textListIfPresent("confined_to")
        clockBehindSeconds = try members.numberIfPresent("clock_behind_seconds").map { Int64($0) }
        tokens = try members.list("tokens").map { value throws(Damage) in try Token(value) }
    }
}

extension ConfigurationText {
    fileprivate var json: JSONText {
        .object(["name": .text(name), "sha256": .text(digest)])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(name: try members.text("name"), digest: try members.text("sha256"))
    }
}

extension StatusDocument.Reload {
    fileprivate var json: JSONText {
        .object([
            "number": .number(number),
            "at": .text(at),
            "tokens": .list(tokens.map { .object(["token": .text($0.token), "change": .text($0.change)]) }),
            "refused": refused?.json,
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            number: try members.number("number"), at: try members.text("at"),
            tokens: try members.list("tokens").map { value throws(Damage) in
                Token(token: try value.text("token"), change: try value.text("change"))
            },
            refused: try members.object("refused").map { value throws(Damage) in try .init(value) })
    }
}

extension StatusDocument.Logout {
    fileprivate var json: JSONText {
        .object([
            "number": .number(number),
            "at": .text(at),
            "pending": .list(pending.map { .object(["token": .text($0)]) }),
            "tokens": .list(tokens.map { .object(["token": .text($0.token), "failure": $0.failure?.json]) }),
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            number: try members.number("number"), at: try members.text("at"),
            pending: try members.list("pending").map { value throws(Damage) in try value.text("token") },
            tokens: try members.list("tokens").map { value throws(Damage) in
                Token(
                    token: try value.text("token"),
                    failure: try value.object("failure").map { failure throws(Damage) in try .init(failure) })
            })
    }
}

extension StatusDocument.Failure {
    fileprivate var json: JSONText {
        .object([
            "code": .text(code),
            "observed": .text(observed),
            "remedy": .text(remedy),
            "since": since.map { .text($0) },
            "attempts": attempts.map { .number($0) },
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            code: try members.text("code"), observed: try members.text("observed"), remedy: try members.text("remedy"),
            since: try members.textIfPresent("since"), attempts: try members.numberIfPresent("attempts"))
    }
}

extension StatusDocument.Token {
    fileprivate var json: JSONText {
        .object([
            "name": .text(name),
            "phase": .text(phase),
            "since": .text(since),
            "served": .flag(served),
            "valid_until": validUntil.map { .text($0) },
            "never_expires": .flag(neverExpires),
            "outage_budget": outageBudget?.json,
            "lease_seconds": leaseSeconds.map { .number(Int($0)) },
            "next_step": nextStep.map { .text($0) },
            "next_at": nextAt.map { .text($0) },
            "trouble": trouble?.json,
            "sinks": .list(sinks.map(\.json)),
            "counters": counters.json,
            "configuration": configuration.map { parts in
                .object(parts.sorted { $0.key < $1.key }.map { ($0.key, .text($0.value)) })
            },
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            name: try members.text("name"), phase: try members.text("phase"), since: try members.text("since"),
            served: try members.flag("served"), validUntil: try members.textIfPresent("valid_until"),
            neverExpires: try members.flag("never_expires"),
            outageBudget: try members.object("outage_budget").map { value throws(Damage) in try .init(value) },
            leaseSeconds: try members.numberIfPresent("lease_seconds").map { Int64($0) },
            nextStep: try members.textIfPresent("next_step"),
            nextAt: try members.textIfPresent("next_at"),
            trouble: try members.object("trouble").map { value throws(Damage) in try .init(value) },
            sinks: try members.list("sinks").map { value throws(Damage) in try .init(value) },
            counters: try .init(members.needed("counters")),
            configuration: try members.object("configuration").map { value throws(Damage) in try value.texts() })
    }
}

extension StatusDocument.OutageBudget {
    fileprivate var json: JSONText {
        .object([
            "without_vault_until": withoutVaultUntil.map { .text($0) },
            "without_aws_until": withoutAWSUntil.map { .text($0) },
            "renewed_without_aws": .flag(renewedWithoutAWS),
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            withoutVaultUntil: try members.textIfPresent("without_vault_until"),
            withoutAWSUntil: try members.textIfPresent("without_aws_until"),
            renewedWithoutAWS: try members.flag("renewed_without_aws"))
    }
}

extension StatusDocument.Sink {
    fileprivate var json: JSONText {
        .object(["name": .text(name), "delivered": .flag(delivered), "trouble": trouble?.json])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            name: try members.text("name"), delivered: try members.flag("delivered"),
            trouble: try members.object("trouble").map { value throws(Damage) in try .init(value) })
    }
}

extension StatusDocument.Counters {
    fileprivate var json: JSONText {
        .object([
            "logins": .number(logins),
            "renewals": .number(renewals),
            "lookups": .number(lookups),
            "sink_writes": .number(sinkWrites),
            "sink_repairs": .number(sinkRepairs),
            "failures": .object(failures.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }),
        ])
    }

    fileprivate init(_ members: Members) throws(Damage) {
        self.init(
            logins: try members.number("logins"), renewals: try members.number("renewals"),
            lookups: try members.number("lookups"), sinkWrites: try members.number("sink_writes"),
            sinkRepairs: try members.number("sink_repairs"),
            failures: try members.needed("failures").numbers())
    }
}

// MARK: Reading

/// What is wrong with a status document, and where.
private struct Damage: Error, CustomStringConvertible {
    let description: String
}

/// The members of one JSON object, by name.
private struct Members {
    private let values: [String: JSONValue]

    init(_ value: JSONValue) throws(Damage) {
        guard let object = value.object else { throw Damage(description: "\(value.kind) instead of an object") }
        values = object
    }

    func text(_ name: String) throws(Damage) -> String {
        try present(name, textIfPresent(name))
    }

    func textIfPresent(_ name: String) throws(Damage) -> String? {
        try read(name, "a string") { $0.string?.text }
    }

    func number(_ name: String) throws(Damage) -> Int {
        try present(name, numberIfPresent(name))
    }

    func numberIfPresent(_ name: String) throws(Damage) -> Int? {
        try read(name, "a whole number") { $0.integer.map(Int.init) }
    }

    func flag(_ name: String) throws(Damage) -> Bool {
        try present(name, flagIfPresent(name))
    }

    func flagIfPresent(_ name: String) throws(Damage) -> Bool? {
        try read(name, "true or false") { $0.boolean }
    }

    func object(_ name: String) throws(Damage) -> Members? {
        try read(name, "an object") { $0.object == nil ? nil : $0 }.map { value throws(Damage) in try Members(value) }
    }

    func needed(_ name: String) throws(Damage) -> Members {
        try present(name, object(name))
    }

    func list(_ name: String) throws(Damage) -> [Members] {
        try present(name, read(name, "a list") { $0.array }).map { value throws(Damage) in try Members(value) }
    }

    func textListIfPresent(_ name: String) throws(Damage) -> [String]? {
        try read(name, "a list of strings") { value in
            guard let elements = value.array else { return nil }
            let texts = elements.compactMap { $0.string?.text }
            return texts.count == elements.count ? texts : nil
        }
    }

    /// All members, which are whole numbers.
    func numbers() throws(Damage) -> [String: Int] {
        var numbers: [String: Int] = [:]
        for name in values.keys { numbers[name] = try number(name) }
        return numbers
    }

    /// All members, which are strings.
    func texts() throws(Damage) -> [String: String] {
        var texts: [String: String] = [:]
        for name in values.keys { texts[name] = try text(name) }
        return texts
    }

    /// Nil where there is no such member, or it is null.
    private func read<Value>(
        _ name: String, _ kind: String, _ convert: (JSONValue) -> Value?
    ) throws(Damage) -> Value? {
        guard let value = values[name] else { return nil }
        if case .null = value { return nil }
        guard let converted = convert(value) else {
            throw Damage(description: "\(name) is \(value.kind) instead of \(kind)")
        }
        return converted
    }

    private func present<Value>(_ name: String, _ value: Value?) throws(Damage) -> Value {
        guard let value else { throw Damage(description: "\(name) is missing") }
        return value
    }
}
