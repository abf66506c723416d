// AWSIdentity: text from elsewhere (files, variables, replies), made fit for a line of log.

/// At most 200 characters; line breaks, controls and what would change the direction of writing become question marks.
func printable(_ text: some StringProtocol) -> String {
    var line = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(200) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
            line.append("?")
        default: line.append(scalar)
        }
    }
    return String(line)
}
