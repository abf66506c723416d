// Fuzzing: what each target feeds, and what must hold of the answer besides that there is one.

import Diagnosis

/// A reader of foreign bytes.
struct FuzzTarget: Sendable {
    let name: String
    let body: @Sendable ([UInt8]) -> Void

    init(_ name: String, _ body: @escaping @Sendable ([UInt8]) -> Void) {
        self.name = name
        self.body = body
    }

    static let all = configurationTargets + identityTargets + vaultTargets + httpTargets + textTargets
}

/// Ends the run with the input that led here.
func insist(_ holds: Bool, _ promise: @autoclosure () -> String) {
    guard !holds else { return }
    fatalError("broken promise: \(promise())")
}

/// An error is one line of bounded length that a terminal shows as it is.
func insist(_ error: AgentError) {
    let text = "\(error)"
    insist(text.utf8.count <= 16_384, "an error has \(text.utf8.count) bytes")
    insist(isHarmless(text), "an error has a control character: \(text.debugDescription)")
}

/// No control characters, C1's included, and no marks that turn the direction of text.
func isHarmless(_ text: String) -> Bool {
    !text.unicodeScalars.contains {
        $0.value < 0x20 || 0x7F...0x9F ~= $0.value || 0x202A...0x202E ~= $0.value || 0x2066...0x2069 ~= $0.value
    }
}
