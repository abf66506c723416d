// Configuration: the table of keys as a JSON Schema (draft 2020-12), for editors and checks before deployment.

private import SecretJSON

/// The schema of the configuration file.
package enum JSONSchema {
    /// The schema, two blanks to a level, with a newline at its end.
    package static var text: String {
        schema.laidOut
    }

    /// Sections that the root's definition refers to, by the name of the key that holds them.
    private static let definitions: [(name: String, section: Section)] = [
        ("vault", KeyTable.vault), ("tls", KeyTable.tls), ("token", KeyTable.token), ("auth", KeyTable.auth),
        ("credentials", KeyTable.credentials), ("renewal", KeyTable.renewal), ("sink", KeyTable.sink),
        ("on_change", KeyTable.onChange), ("log", KeyTable.log), ("metrics", KeyTable.metrics),
    ]

    private static var schema: JSONText {
        var members: [(String, JSONText)] = [
            ("$schema", .text("https://json-schema.org/draft/2020-12/schema")),
            ("title", .text("Configuration of vault-token-agent")),
        ]
        members += section(KeyTable.root)
        members.append(("$defs", object(definitions.map { ($0.name, object(section($0.section))) })))
        return object(members)
    }

    private static func section(_ section: Section) -> [(String, JSONText)] {
        var members: [(String, JSONText)] = [
            ("type", .text("object")),
            ("additionalProperties", .flag(false)),
            ("properties", object(section.keys.map { ($0.name, object(property($0))) } + [comment])),
        ]
        let required = section.keys.filter(\.isRequiredInFile).map(\.name)
        if !required.isEmpty { members.append(("required", strings(required))) }
        let conditions = section.keys.compactMap { key in key.condition.map { condition(key.name, $0, in: section) } }
        if !conditions.isEmpty { members.append(("allOf", .list(conditions))) }
        return members
    }

    private static let comment = (Section.comment, object([("type", .text("string"))]))

    /// Where the other key has, by file or by default, none of the values, this key is not allowed.
    private static func condition(_ name: String, _ condition: ConfigurationKey.Condition, in section: Section)
        -> JSONText
    {
        var isDefault = false
        if case .value(let text)? = section.key(condition.key)?.fallback { isDefault = condition.values.contains(text) }
        let holds = object([(condition.key, object([("enum", strings(condition.values))]))])
        var test: [(String, JSONText)] = [("properties", holds)]
        if !isDefault { test.append(("required", strings([condition.key]))) }
        return object([
            ("if", object([("not", object(test))])), ("then", object([("properties", object([(name, .flag(false))]))])),
        ])
    }

    private static func property(_ key: ConfigurationKey) -> [(String, JSONText)] {
        var members: [(String, JSONText)] = [("description", .text(key.summary.filter { $0 != "`" }))]
        switch key.shape {
        case .text(let rule):
            members += key.nullable ? [("type", strings(["string", "null"]))] : [("type", .text("string"))]
            members += pattern(rule)
        case .textOrList(let rule):
            let one = object([("type", .text("string"))] + pattern(rule))
            members.append(("anyOf", .list([one, array(of: one, limit: KeyTable.listLimit)])))
        case .list(let rule):
            members += arrayMembers(of: object([("type", .text("string"))] + pattern(rule)), limit: KeyTable.listLimit)
        case .choice(let choices): members.append(("enum", strings(choices)))
        case .flag: members.append(("type", .text("boolean")))
        case .duration:
            let units = ["d", "h", "m", "s", "ms"].map { "([0-9]{1,12}\($0))?" }.joined()
            members += [("type", .text("string")), ("pattern", .text("^(?=.)\(units)$"))]
        case .mode: members += [("type", .text("string")), ("pattern", .text("^0?[0-7]{3}$"))]
        case .section(let section): members.append(reference(section))
        case .sections(let section):
            members += arrayMembers(of: object([reference(section)]), limit: key.elementLimit)
        }
        if case .value(let text) = key.fallback {
            if case .flag = key.shape {
                members.append(("default", .flag(text == "true")))
            } else {
                members.append(("default", .text(text)))
            }
        }
        return members
    }

    private static func pattern(_ rule: TextRule) -> [(String, JSONText)] {
        rule.pattern.map { [("pattern", .text($0))] } ?? [("minLength", .number(1))]
    }

    private static func reference(_ section: Section) -> (String, JSONText) {
        let name = definitions.first { $0.section.title == section.title }?.name ?? ""
        return ("$ref", .text("#/$defs/\(name)"))
    }

    // MARK: JSON

    private static func object(_ members: [(String, JSONText)]) -> JSONText {
        .object(members.map { (name: $0.0, value: $0.1) })
    }

    private static func strings(_ texts: [String]) -> JSONText {
        .list(texts.map { .text($0) })
    }

    private static func arrayMembers(of element: JSONText, limit: Int) -> [(String, JSONText)] {
        [
            ("type", .text("array")), ("items", element), ("minItems", .number(1)),
            ("maxItems", .number(limit)),
        ]
    }

    private static func array(of element: JSONText, limit: Int) -> JSONText {
        object(arrayMembers(of: element, limit: limit))
    }
}

extension TextRule {
    /// A regular expression (ECMA-262) that no wrong string gets past lightly; nil: any that is not empty.
    fileprivate var pattern: String? {
        switch self {
        case .plain, .headerValue, .principal, .policy: nil
        case .tokenName: "^[A-Za-z0-9._-]{1,64}$"
        case .address: "^(https?://[^/?#@]+(/[^?#]*)?|unix:///.+)$"
        case .namespace: "^[^?#%]*$"
        case .mountPath: "^/?auth/[^?#%]+$"
        case .region: "^[a-z0-9-]{1,64}$"
        case .identity: "^([0-9]{12}|arn:.+)$"
        case .endpoint: "^https?://[^/?#@]+(/[^?#]*)?$"
        case .proxy: "^[^ ]+$"
        case .hostPattern: "^[A-Za-z0-9.:_/-]+$"
        case .certificates: "-----BEGIN CERTIFICATE-----"
        case .readPath: "^(/|\\$CREDENTIALS_DIRECTORY/|\\$\\{CREDENTIALS_DIRECTORY\\}/)."
        case .writePath: "^/."
        case .variableName: "^[A-Za-z_][A-Za-z0-9_]*$"
        case .signal: "^(SIG)?(\(SignalName.all.map { String($0.name.dropFirst(3)) }.joined(separator: "|")))$"
        case .listenAddress: "^(([0-9.]+|localhost|\\[[0-9A-Fa-f:.]+\\]):[0-9]+|unix:///.+)$"
        }
    }
}
