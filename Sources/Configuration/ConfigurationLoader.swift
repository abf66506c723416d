// Configuration: the way in. One file, the environment and the flags give one configuration, or say what is wrong.

package import Diagnosis
private import Glibc
private import ServiceHealth

/// A configuration that can work.
package struct LoadedConfiguration: Sendable {
    package let configuration: AgentConfiguration
    /// What is allowed and unwise, a line each; to be logged at each start.
    package let warnings: [String]
    /// What it was read from, as messages call it.
    package let path: String
    /// Whether a reload may read it anew: pipes and the environment give it once.
    package let canBeReadAgain: Bool
    /// SHA-256 of the text.
    package var digest: [UInt8] { source.digest }
    fileprivate let source: SourceText

    /// For one who puts it in force, and tells which it is.
    package var named: AgentConfiguration {
        var named = configuration
        named.health.configuration = source.identity
        return named
    }
}

/// One value that holds. Not a secret: the file has none.
package struct EffectiveValue: Hashable, Sendable {
    /// `vault.address`, `tokens[0].auth.role`.
    package let path: String
    package let value: String
    package let origin: ValueOrigin
}

package enum ConfigurationLoader {
    /// Reads and checks what `source` holds. Flags stand above the environment, the environment above the file.
    ///
    /// Throws `fileUnreadable` where there is no file to read, and the first thing wrong as `configurationInvalid`.
    package static func load(
        _ source: ConfigurationSource, environment: [String: String],
        overrides: ConfigurationOverrides = ConfigurationOverrides()
    ) throws(AgentError) -> LoadedConfiguration {
        try load(source.read(environment: environment), environment: environment, overrides: overrides)
    }

    /// As above, of a text that was read already.
    package static func load(
        _ source: SourceText, environment: [String: String],
        overrides: ConfigurationOverrides = ConfigurationOverrides()
    ) throws(AgentError) -> LoadedConfiguration {
        switch examine(source, environment: environment, overrides: overrides) {
        case .usable(let loaded, _): return loaded
        case .unusable(let errors):
            guard let first = errors.first, errors.count > 1 else {
                throw errors.first ?? AgentError(.internalFault, "\(source.path): refused without a reason")
            }
            let more = "\(errors.count - 1) more: run \"vault-token-agent config check\""
            let end = first.remedy.isEmpty ? "" : first.remedy.hasSuffix("?") ? " " : ". "
            throw AgentError(first.code, first.observed, remedy: first.remedy + end + more)
        }
    }

    /// The status file of the agent that runs by this text, nil: by none; nil where it is turned off.
    ///
    /// Looks at nothing else: whoever asks how a service is has neither its environment nor its credentials, and the
    /// rest of the file may not load for him.
    package static func statusFile(
        of source: SourceText?, environment: [String: String]
    ) throws(AgentError) -> String? {
        let fallback = Assembler.defaultStatusFile(environment)
        guard let source else { return fallback }
        let node: SourceNode
        do {
            node = try SourceNode.read(source.bytes)
        } catch {
            throw error.located(in: source)
        }
        guard case .object(let members) = node.value, let member = members.first(where: { $0.key == "status_file" })
        else { return fallback }
        switch member.node.value {
        case .null: return nil
        case .text(let text): return text
        default:
            throw AgentError(
                .configurationInvalid,
                "\(source.place(member.node.offset)): status_file: found \(member.node.value.kind), expected a path")
        }
    }

    package enum Examination {
        /// `effective`: every value that holds, in the order of the reference. Only who shows them asks for them.
        case usable(LoadedConfiguration, effective: () -> [EffectiveValue])
        /// At least one error, at most 20.
        case unusable([AgentError])
    }

    /// Checks a text and says all that is wrong with it.
    package static func examine(
        _ source: SourceText, environment: [String: String],
        overrides: ConfigurationOverrides = ConfigurationOverrides()
    ) -> Examination {
        let node: SourceNode
        do {
            node = try SourceNode.read(source.bytes)
        } catch {
            return .unusable([error.located(in: source)])
        }
        var checker = Checker(
            environment: environment, overrides: overrides, workingDirectory: workingDirectory,
            problems: Problems(source: source))
        let root = checker.check(KeyTable.root, node, path: "", topLevel: true)
        guard checker.problems.errors.isEmpty else { return .unusable(checker.problems.errors) }
        var assembler = Assembler(
            environment: environment, workingDirectory: workingDirectory, problems: checker.problems)
        let configuration = assembler.assemble(root)
        guard assembler.problems.errors.isEmpty else { return .unusable(assembler.problems.errors) }
        var warnings = assembler.warnings
        if source.isWritableByOthers {
            warnings.append("\(source.path) can be written by others than its owner: they could redirect the login")
        }
        return .usable(
            LoadedConfiguration(
                configuration: configuration, warnings: warnings, path: source.path,
                canBeReadAgain: source.canBeReadAgain, source: source),
            effective: { effective(root, configuration, environment) })
    }

    /// The values of a section and those inside it. What has neither value nor default is described.
    private static func effective(_ section: CheckedSection) -> [EffectiveValue] {
        section.section.keys.flatMap { key -> [EffectiveValue] in
            let path = section.path(of: key.name)
            guard let given = section.values[key.name] else {
                guard case .described(let text) = key.fallback, !section.inherits, section.counts(key) else {
                    return []
                }
                return [EffectiveValue(path: path, value: "(\(text.filter { $0 != "`" }))", origin: .fallback)]
            }
            guard given.inheritedFrom == nil else { return [] }
            switch given.value {
            case .section(let inner): return effective(inner)
            case .sections(let inner): return inner.flatMap { effective($0) }
            case .text(let text):
                guard case .text(let rule) = key.shape else { break }
                return [EffectiveValue(path: path, value: rule.display(text), origin: given.origin)]
            default: break
            }
            return [EffectiveValue(path: path, value: given.value.text, origin: given.origin)]
        }
    }

    /// As above, with what systemd's environment gave.
    private static func effective(
        _ root: CheckedSection, _ configuration: AgentConfiguration, _ environment: [String: String]
    ) -> [EffectiveValue] {
        var root = root
        func fill(_ key: String, _ value: String?, _ variable: String) {
            guard !root.isSet(key) else { return }
            root.values[key] = SourcedValue(
                value: value.map { .text($0) } ?? .none,
                origin: environment[variable] == nil ? .fallback : .environment(variable))
        }
        fill("state_directory", configuration.stateDirectory, "STATE_DIRECTORY")
        fill("status_file", configuration.health.statusFile, "RUNTIME_DIRECTORY")
        // `$schema` is for editors and has no effect.
        return effective(root).filter { $0.path != "$schema" }
    }

    /// Where relative paths begin.
    static var workingDirectory: String {
        // SAFETY: getcwd allocates a NUL-terminated string, which is copied and freed.
        guard let directory = unsafe getcwd(nil, 0) else { return "" }
        defer { unsafe free(directory) }
        return unsafe String(cString: directory)
    }
}
