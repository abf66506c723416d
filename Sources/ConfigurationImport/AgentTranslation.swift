// ConfigurationImport: a configuration of Vault Agent or OpenBao Agent becomes one of this agent.

package import Configuration
package import Diagnosis
package import SecretJSON
private import Timekeeping

/// What came of it.
package struct ImportedConfiguration: Sendable {
    /// The same in this agent's terms. Holds no secret: keys and nonces are left out.
    package let document: JSONText
    /// What was left out or reads otherwise, a line each with its place, in the order of the file.
    package let remarks: [String]

    /// Reads HCL or its JSON form. Throws `configurationInvalid` for what is neither, and for what this agent cannot do at
    /// all: no auto_auth, another method than aws.
    package init(_ source: SourceText) throws(AgentError) {
        let file: ForeignObject
        let isJSON: Bool
        do throws(TextFault) {
            let read = try HCLReader.read(source.bytes)
            file = ForeignObject(path: "", offset: 0, members: read.members)
            isJSON = read.isJSON
        } catch {
            throw error.located(in: source)
        }
        var translation = AgentTranslation(source: source, isJSON: isJSON)
        document = try translation.document(file)
        remarks = translation.remarks.sorted { $0.offset < $1.offset }.map { remark in
            "\(source.place(remark.offset)): \(printable(remark.path)): \(remark.reason)"
        }
    }
}

struct AgentTranslation {
    let source: SourceText
    let isJSON: Bool
    private(set) var remarks: [Remark] = []

    /// Where the unit's readers look; for sinks without a usable path.
    private static let directory = "/run/vault-token-agent"

    init(source: SourceText, isJSON: Bool) {
        self.source = source
        self.isJSON = isJSON
    }

    mutating func document(_ given: ForeignObject) throws(AgentError) -> JSONText {
        var file = given
        var result = ObjectBuilder()
        result.add("vault", try vault(&file))
        let state = try stateDirectory(&file)
        let token = try token(&file)
        result.add("log", log(&file))
        result.add("state_directory", state)
        result.add("tokens", .list([token]))
        // False is what this agent does anyway.
        if file.has("exit_after_auth"), let exits = file.take("exit_after_auth"), exits.flag != false {
            remark(exits.offset, "exit_after_auth", LeftOut.reason("exit_after_auth") ?? "")
        }
        leaveRest(of: file)
        return result.document
    }

    // MARK: vault, cache, log

    private mutating func vault(_ file: inout ForeignObject) throws(AgentError) -> ObjectBuilder {
        var result = ObjectBuilder()
        var tls = ObjectBuilder()
        for var vault in try blocks("vault", of: &file) {
            result.add("address", text("address", of: &vault))
            result.add("namespace", namespace(of: &vault))
            for key in ["ca_cert", "ca_path", "client_cert", "client_key"] {
                tls.add(key, path(key, of: &vault))
            }
            tls.add("server_name", text("tls_server_name", of: &vault))
            if let skip = flag("tls_skip_verify", of: &vault), skip { tls.add("skip_verify", .flag(true)) }
            leaveRest(of: vault)
        }
        result.add("tls", tls)
        return result
    }

    /// Of `cache`, what lets a restart find its token again.
    private mutating func stateDirectory(_ file: inout ForeignObject) throws(AgentError) -> String? {
        var directory: String?
        for var cache in try blocks("cache", of: &file) {
            for var persist in try blocks("persist", of: &cache, labelled: true) {
                directory = path("path", of: &persist) ?? directory
                leaveRest(of: persist)
            }
            leaveRest(of: cache)
        }
        return directory
    }

    private mutating func log(_ file: inout ForeignObject) -> ObjectBuilder {
        var result = ObjectBuilder()
        if let node = file.take("log_level") {
            let levels = [
                "trace": "debug", "debug": "debug", "info": "info", "notice": "info", "warn": "warning",
                "warning": "warning", "err": "error", "error": "error",
            ]
            let level = node.text.flatMap { levels[$0.lowercased()] }
            if level == nil { remark(node.offset, "log_level", "not a level that is known") }
            result.add("level", level)
        }
        if let node = file.take("log_format"), node.text?.lowercased() == "json" { result.add("format", "json") }
        return result
    }

    // MARK: auto_auth

    private mutating func token(_ file: inout ForeignObject) throws(AgentError) -> JSONText {
        let found = try blocks("auto_auth", of: &file)
        guard var autoAuth = found.first else {
            throw refusal(0, "there is no auto_auth: this agent has nothing to keep", "Import the file that has it")
        }
        guard found.count == 1 else { throw refusal(found[1].offset, "a second auto_auth", "Keep one of them") }
        let methods = try blocks("method", of: &autoAuth, labelled: true)
        guard var method = methods.first else { throw refusal(autoAuth.offset, "auto_auth has no method", "") }
        guard methods.count == 1 else { throw refusal(methods[1].offset, "a second method", "Keep one of them") }

        let kind = method.take("type")?.text ?? method.label ?? ""
        guard kind == "aws" else {
            throw refusal(
                method.offset, "the method is \(kind.isEmpty ? "not named" : printable(kind, limit: 60))",
                "This agent logs in by aws alone")
        }
        var renewal = ObjectBuilder()
        renewal.add("max_backoff", backoff(&method))
        let wrapTTL = try wrapTTL(ofAll: &method)
        let (auth, role) = try auth(&method, reauthenticates: reauthenticates(&autoAuth))
        var result = ObjectBuilder()
        result.add("name", Self.name(from: role))
        result.add("auth", auth)
        result.add("renewal", renewal)
        result.add("sinks", .list(try sinks(&autoAuth, wrapTTL: wrapTTL)))
        leaveRest(of: method)
        leaveRest(of: autoAuth)
        return result.document
    }

    /// Of `auto_auth`, where Vault Agent has it.
    private mutating func reauthenticates(_ autoAuth: inout ForeignObject) -> Bool {
        flag("enable_reauth_on_new_credentials", of: &autoAuth) ?? false
    }

    private mutating func auth(
        _ method: inout ForeignObject, reauthenticates: Bool
    ) throws(AgentError) -> (ObjectBuilder, role: String?) {
        let configurations = try blocks("config", of: &method)
        var config =
            configurations.first ?? ForeignObject(path: method.path(of: "config"), offset: method.offset, members: [])
        var result = ObjectBuilder()
        let typeOffset = config.offset
        let type = text("type", of: &config)
        if type == nil { remark(typeOffset, config.path(of: "type"), "missing; taken as iam") }
        result.add("type", type ?? "iam")
        if let mount = text("mount_path", of: &method) { result.add("mount_path", Self.mountPath(mount)) }
        result.add("namespace", namespace(of: &method))
        let role = text("role", of: &config)
        result.add("role", role)
        result.add("header_value", text("header_value", of: &config))
        result.add("region", region(of: &config, isIAM: type != "ec2"))
        let inConfig = flag("enable_reauth_on_new_credentials", of: &config) ?? false
        if reauthenticates || inConfig { result.add("enable_reauth_on_new_credentials", .flag(true)) }
        leaveRest(of: config)
        for other in configurations.dropFirst() { remark(other.offset, other.path, "a second one; the first holds") }
        return (result, role)
    }

    /// Vault Agent signs for us-east-1 where no region is given, and looks for one where it is empty.
    private mutating func region(of config: inout ForeignObject, isIAM: Bool) -> String? {
        let offset = config.offset
        let given = config.has("region")
        let region = config.take("region")?.text
        guard isIAM else { return nil }
        guard given else {
            remark(offset, config.path(of: "region"), "not given: us-east-1, as Vault Agent has it, is written down")
            return "us-east-1"
        }
        return region?.isEmpty == true ? nil : region
    }

    /// Of the method: there Vault Agent writes the wrapped login into every sink, and keeps no token.
    private mutating func wrapTTL(ofAll method: inout ForeignObject) throws(AgentError) -> String? {
        let offset = method.rest.first { $0.key == "wrap_ttl" }?.offset ?? method.offset
        let given = try wrapTTL(of: &method)
        if given != nil {
            remark(
                offset, method.path(of: "wrap_ttl"),
                "written down for each sink; the token inside is kept fresh here, and its creation_path is sys/wrapping/wrap"
            )
        }
        return given
    }

    private mutating func backoff(_ method: inout ForeignObject) -> String? {
        guard let node = method.take("max_backoff") else { return nil }
        guard let duration = node.duration else {
            remark(node.offset, method.path(of: "max_backoff"), "not a duration")
            return nil
        }
        return inRange(duration, .seconds(5) ... .seconds(300), node.offset, method.path(of: "max_backoff"))
    }

    // MARK: Sinks

    /// `wrapTTL`: of those that have none of their own.
    private mutating func sinks(
        _ autoAuth: inout ForeignObject, wrapTTL: String?
    ) throws(AgentError) -> [JSONText] {
        var found = try blocks("sink", of: &autoAuth, labelled: true)
        for var group in try blocks("sinks", of: &autoAuth) {
            found += try blocks("sink", of: &group, labelled: true)
            leaveRest(of: group)
        }
        var result: [JSONText] = []
        for sink in found {
            if let sink = try self.sink(sink, wrapTTL: wrapTTL) { result.append(sink) }
        }
        if result.isEmpty {
            remark(
                autoAuth.offset, autoAuth.path(of: "sink"),
                "there is none; this agent needs one: a file is written down")
            var file = ObjectBuilder()
            file.add("type", "file")
            file.add("path", "\(Self.directory)/token")
            wrap(&file, wrapTTL)
            result.append(file.document)
        }
        return result
    }

    private mutating func sink(_ given: ForeignObject, wrapTTL: String?) throws(AgentError) -> JSONText? {
        var sink = given
        let kind = sink.take("type")?.text ?? sink.label ?? "file"
        guard kind == "file" else {
            remark(sink.offset, sink.path, "a sink of type \(printable(kind, limit: 60)) is not known")
            return nil
        }
        var result = ObjectBuilder()
        result.add("type", "file")
        var own = try self.wrapTTL(of: &sink)
        for var config in try blocks("config", of: &sink) {
            result.add("path", path("path", of: &config))
            result.add("mode", mode(of: &config))
            // `owner` and `group` are Vault Agent's names, `uid` and `gid` OpenBao Agent's.
            result.add("owner", text("owner", of: &config) ?? text("uid", of: &config))
            result.add("group", text("group", of: &config) ?? text("gid", of: &config))
            if own == nil { own = try self.wrapTTL(of: &config) }
            leaveRest(of: config)
        }
        wrap(&result, own ?? wrapTTL)
        result.add("dh_type", text("dh_type", of: &sink))
        result.add("dh_path", path("dh_path", of: &sink))
        result.add("aad", text("aad", of: &sink))
        result.add("aad_env_var", text("aad_env_var", of: &sink))
        if let derives = flag("derive_key", of: &sink), derives { result.add("derive_key", .flag(true)) }
        leaveRest(of: sink)
        return result.document
    }

    private func wrap(_ sink: inout ObjectBuilder, _ ttl: String?) {
        guard let ttl else { return }
        sink.add("wrap_ttl", ttl)
        // Vault Agent writes wrap_info.
        sink.add("format", "json")
    }

    private mutating func mode(of config: inout ForeignObject) -> String? {
        guard let node = config.take("mode") else { return nil }
        if let mode = node.mode {
            guard UInt16(mode, radix: 8) == 0 else { return mode }
            remark(
                node.offset, config.path(of: "mode"),
                "0 leaves a file's mode to others there; here a sink has one: the default of 0640 holds")
            return nil
        }
        let hint = isJSON ? ": JSON has no octal numbers, 640 is mode 01200" : ""
        remark(node.offset, config.path(of: "mode"), "not a file mode\(hint); the default of 0640 holds")
        return nil
    }

    // MARK: Values

    private mutating func text(_ key: String, of object: inout ForeignObject) -> String? {
        guard let node = object.take(key) else { return nil }
        if let text = node.text { return text.isEmpty ? nil : text }
        remark(node.offset, object.path(of: key), "not a string")
        return nil
    }

    private mutating func namespace(of object: inout ForeignObject) -> String? {
        text("namespace", of: &object).map { trimmed($0) }
    }

    private mutating func flag(_ key: String, of object: inout ForeignObject) -> Bool? {
        guard let node = object.take(key) else { return nil }
        if let flag = node.flag { return flag }
        remark(node.offset, object.path(of: key), "neither true nor false")
        return nil
    }

    /// Nil for none, and for 0. One that cannot be read is not left out: the sink would hold the token as it is.
    private mutating func wrapTTL(of object: inout ForeignObject) throws(AgentError) -> String? {
        guard let node = object.take("wrap_ttl") else { return nil }
        let path = object.path(of: "wrap_ttl")
        guard let duration = node.duration else {
            throw refusal(node.offset, "\(path) is not a duration such as 30s or 5m", "Correct it")
        }
        guard Duration(text: duration) != .zero else { return nil }
        return inRange(duration, .seconds(10) ... .seconds(86_400), node.offset, path)
    }

    private mutating func inRange(
        _ text: String, _ limits: ClosedRange<Duration>, _ offset: Int, _ path: String
    ) -> String {
        guard let duration = Duration(text: text), !limits.contains(duration) else { return text }
        let nearest = (duration < limits.lowerBound ? limits.lowerBound : limits.upperBound).text
        remark(offset, path, "\(text) is out of range here: \(nearest)")
        return nearest
    }

    /// Absolute. One that began where Vault Agent was started is put into the agent's own directory.
    private mutating func path(_ key: String, of object: inout ForeignObject) -> String? {
        let offset = object.offset
        guard let path = text(key, of: &object) else { return nil }
        if path.hasPrefix("/") { return path }
        let name = path.split(separator: "/").last.map(String.init) ?? "token"
        let absolute = "\(Self.directory)/\(name)"
        remark(
            offset, object.path(of: key),
            "\(printable(path, limit: 60)) is not absolute: \(printable(absolute, limit: 100)) is written down")
        return absolute
    }

    private static func mountPath(_ text: String) -> String {
        let path = trimmed(text)
        return path.hasPrefix("auth/") ? path : "auth/\(path)"
    }

    /// A name for the token: the role's, where that can be one.
    private static func name(from role: String?) -> String {
        guard let role, (1...64).contains(role.utf8.count), role != ".", role != "..",
            role.utf8.allSatisfy({ HCLReader.isWord($0) || ".-".utf8.contains($0) })
        else { return "app" }
        return role
    }

    // MARK: Blocks and remarks

    private mutating func blocks(
        _ key: String, of object: inout ForeignObject, labelled: Bool = false
    ) throws(AgentError) -> [ForeignObject] {
        let offset = object.rest.first { $0.key == key }?.offset ?? object.offset
        guard let blocks = object.takeBlocks(key, labelled: labelled) else {
            throw refusal(offset, "\(object.path(of: key)) is not a block", "Write \(key) { … }")
        }
        return blocks
    }

    private mutating func leaveRest(of object: ForeignObject) {
        for (offset, key) in object.rest {
            let path = object.path(of: key)
            remark(offset, path, LeftOut.reason(path) ?? LeftOut.unknown)
        }
    }

    private mutating func remark(_ offset: Int, _ path: String, _ reason: String) {
        remarks.append(Remark(offset: offset, path: path, reason: reason))
    }

    private func refusal(_ offset: Int, _ observed: String, _ remedy: String) -> AgentError {
        AgentError(.configurationInvalid, "\(source.place(offset)): \(observed)", remedy: remedy)
    }
}

/// Without slashes at its ends.
private func trimmed(_ path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: true).joined(separator: "/")
}
