// AWSIdentity: AWS's shared files, ~/.aws/config and ~/.aws/credentials, and the profile that is asked for.

internal import Diagnosis
internal import Logging

/// Both files as they are now. A file that does not exist is an empty one; one that cannot be read or understood is an error,
/// because without it another identity might be found.
struct SharedConfiguration {
    /// One of the two files.
    struct File {
        let path: String
        /// Nil where there is none; `absence` then says why.
        var document: INIDocument?
        var absence: String?
    }

    typealias Profile = INIDocument.Section

    let credentialsFile: File
    let configFile: File
    /// By name, both files together: what the credentials file says counts for more.
    let profiles: [String: Profile]
    /// Those of the configuration file alone.
    let configProfiles: [String: Profile]
    let services: [String: Profile]
    /// The profile asked for; `default` where nobody did.
    let profileName: String

    var profile: Profile { profiles[profileName] ?? Profile() }

    /// - Parameter warned: Paths that were warned about before.
    init(
        settings: AWSSettings, surroundings: AWSSurroundings, warned: inout Set<String>
    ) throws(AgentError) {
        configFile = try Self.read("AWS_CONFIG_FILE", "~/.aws/config", surroundings, &warned)
        credentialsFile = try Self.read("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", surroundings, &warned)
        var profiles: [String: Profile] = [:]
        var services: [String: Profile] = [:]
        for (heading, section) in configFile.document?.sections ?? [:] {
            if heading == "default" {
                profiles["default"] = profiles["default"] ?? section
            } else if heading.hasPrefix("profile"), let name = Self.secondWord(heading) {
                profiles[name] = section
            } else if heading.hasPrefix("services"), let name = Self.secondWord(heading) {
                services[name] = section
            }
        }
        configProfiles = profiles
        self.services = services
        for (name, section) in credentialsFile.document?.sections ?? [:] {
            profiles[name, default: Profile()].values.merge(section.values) { _, own in own }
            profiles[name, default: Profile()].nested.merge(section.nested) { _, own in own }
        }
        self.profiles = profiles
        let asked = Self.profileAskedFor(settings, surroundings)
        profileName = asked?.name ?? "default"
        if let asked, profiles[asked.name] == nil {
            throw AgentError(
                .awsCredentialsBroken,
                "\(asked.origin) asks for the profile '\(printable(asked.name))', which neither \(configFile.path) nor "
                    + "\(credentialsFile.path) has",
                remedy: profiles.isEmpty
                    ? "Write the profile, or point AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE to the files that have it"
                    : "They have: " + profiles.keys.sorted().prefix(10).map { printable($0) }.joined(separator: ", "))
        }
    }

    private static func profileAskedFor(
        _ settings: AWSSettings, _ surroundings: AWSSurroundings
    ) -> (name: String, origin: String)? {
        if let name = settings.profile { return (name, "the configuration") }
        // The AWS CLI looks at the older name first.
        for variable in ["AWS_DEFAULT_PROFILE", "AWS_PROFILE"] {
            if let name = surroundings.variable(variable) { return (name, variable) }
        }
        return nil
    }

    /// `[profile "two words"]` names the profile `two words`.
    private static func secondWord(_ heading: String) -> String? {
        guard let words = try? CommandWords.split(heading), words.count == 2 else { return nil }
        return words[1]
    }

    // MARK: Files

    private static func read(
        _ variable: String, _ usual: String, _ surroundings: AWSSurroundings, _ warned: inout Set<String>
    ) throws(AgentError) -> File {
        let path = surroundings.expanding(surroundings.variable(variable) ?? usual)
        let content: FileContent
        do {
            content = try surroundings.files.read(path, limit: INIDocument.sizeLimit)
        } catch {
            switch error {
            case .absent(let why): return File(path: path, absence: "\(path) \(why)")
            case .unreadable(let why):
                throw AgentError(
                    .fileUnreadable, "\(path) cannot be read: \(why)",
                    remedy: "Give the agent's user the right to read it, or point \(variable) elsewhere")
            case .tooLong(let limit):
                throw AgentError(
                    .awsCredentialsBroken, "\(path) is longer than \(limit) bytes",
                    remedy: "Expected a file with profiles")
            }
        }
        let document = try INIDocument(content.bytes, path: path)
        let holdsKeys = document.sections.values.contains { $0.values["aws_secret_access_key"] != nil }
        if content.worldReadable, holdsKeys, warned.insert(path).inserted {
            surroundings.log.warning(
                "Everybody on this machine can read a file with AWS keys. Take the right away: chmod o-r",
                metadata: ["path": "\(path)"])
        }
        return File(path: path, document: document)
    }
}

/// A setting's value, and who set it: "AWS_REGION", "profile dev".
struct Setting: Hashable, Sendable {
    let text: String
    let origin: String

    /// As the AWS CLI reads flags: `true` in any capitals, else false.
    var flag: Bool { text.lowercased() == "true" }

    /// The whole number, which must lie in `range`.
    func number(in range: ClosedRange<Int>) throws(AgentError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw AgentError(
                .configurationInvalid, "\(origin) is '\(printable(text))'",
                remedy: "Expected a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

extension SharedConfiguration {
    /// The environment's say, else the profile's. Empty is as good as not set.
    func setting(_ variable: String?, _ key: String?, _ surroundings: AWSSurroundings) -> Setting? {
        if let variable, let text = surroundings.variable(variable) { return Setting(text: text, origin: variable) }
        guard let key, let text = profile.values[key], !text.isEmpty else { return nil }
        return Setting(text: text, origin: "\(key) of profile \(printable(profileName))")
    }
}
