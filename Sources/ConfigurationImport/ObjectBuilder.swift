// ConfigurationImport: an object of this agent's own configuration, being written. No value of it is a secret.

package import SecretJSON

/// The members of an object in the order in which they were added; what is nil is left out.
package struct ObjectBuilder {
    private var members: [(name: String, value: JSONText)] = []

    package init() {}

    package mutating func add(_ key: String, _ value: JSONText?) {
        if let value { members.append((key, value)) }
    }

    package mutating func add(_ key: String, _ text: String?) {
        add(key, text.map { .text($0) })
    }

    /// Nothing where there are no members.
    package mutating func add(_ key: String, _ object: ObjectBuilder) {
        if !object.members.isEmpty { add(key, object.document) }
    }

    package var document: JSONText {
        .object(members)
    }
}
