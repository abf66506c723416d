// SimulatedWorld: the configurations that the agent is started with and reloaded with.

import AWSIdentity
import Configuration
import TokenLifecycle
import TokenSinks
import VaultAPI

/// What a reload may change.
struct Variant: Hashable {
    var policyIsOther = false
    var modeIsOther = false
    var roleIsOther = false
    var hasSecond = false
    var hasCopy = false
    /// A sink that cannot be.
    var isWrong = false

    /// The same in every run, as a hash value is not.
    var number: Int {
        [policyIsOther, modeIsOther, roleIsOther, hasSecond, hasCopy, isWrong].reduce(0) { $0 * 2 + ($1 ? 1 : 0) }
    }
}

extension World {
    static let token = "/simulated/token"

    /// Where a configuration wants tokens.
    func paths(_ variant: Variant) -> Set<String> {
        Set(
            configuration(variant).tokens.flatMap(\.sinks).map { sink in
                switch sink.place {
                case .file(let file): file.path
                case .socket(let socket): socket.path
                }
            })
    }

    func configuration(_ variant: Variant) -> AgentConfiguration {
        var sinks = [file(Self.token, variant)]
        if options.sinks.contains(.socket) { sinks.append(SinkSettings(place: .socket(socket(variant)))) }
        if options.sinks.contains(.wrapped) {
            var sink = file("/simulated/wrapped", variant)
            sink.wrapTTL = VaultModel.wrapTTL
            sinks.append(sink)
        }
        if options.sinks.contains(.child) {
            var sink = file("/simulated/child", variant)
            sink.policies = ["reader"]
            sinks.append(sink)
        }
        if variant.hasCopy { sinks.append(file("/simulated/copy", variant)) }
        if variant.isWrong { sinks.append(file("/nowhere/token", variant)) }
        var tokens = [settings("app", role: variant.roleIsOther ? "other" : "app", variant, sinks)]
        if variant.hasSecond {
            tokens.append(settings("second", role: "second", variant, [file("/simulated/second", variant)]))
        }
        return AgentConfiguration(tokens: tokens)
    }

    /// What a process logs in to until somebody reloads it.
    var rolesAtStart: [String] { configuration(Variant()).tokens.compactMap(\.login.role) }

    private func settings(_ name: String, role: String, _ variant: Variant, _ sinks: [SinkSettings]) -> TokenSettings {
        var aws = AWSSettings()
        aws.source = .imds
        var policy = options.policy
        if variant.policyIsOther { policy.expired = policy.expired == .keep ? .remove : .keep }
        var login = LoginSettings(method: .iam)
        login.role = role
        return TokenSettings(
            name: name, vault: VaultServer(addresses: ["http://127.0.0.1:8200"]), login: login, aws: aws,
            policy: policy, sinks: sinks)
    }

    private func file(_ path: String, _ variant: Variant) -> SinkSettings {
        var place = FilePlace(path: path)
        if variant.modeIsOther { place.mode = 0o600 }
        return SinkSettings(place: .file(place))
    }

    private func socket(_ variant: Variant) -> SocketPlace {
        var place = SocketPlace(path: "/simulated/socket")
        if variant.modeIsOther { place.mode = 0o600 }
        return place
    }

    func randomVariant() -> Variant {
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
        return Variant(
            policyIsOther: chance(30), modeIsOther: chance(40), roleIsOther: chance(25), hasSecond: chance(40),
            hasCopy: chance(30), isWrong: chance(20))
    }
}
