// Fuzzing: short texts that stand within others: times, durations, addresses; and their printable form.

import Diagnosis
import Timekeeping

@testable import Configuration
@testable import HTTPClient

let textTargets = [
    FuzzTarget("time") { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        let times = [
            WallTime(httpDate: text), WallTime(rfc3339: text), WallTime(amzDate: text), WallTime(loose: text),
        ]
        for time in times.compactMap(\.self) {
            insist(WallTime(rfc3339: time.rfc3339) != nil, "\(time.rfc3339) is not read again")
        }
    },
    FuzzTarget("duration") { bytes in
        guard let duration = Duration(text: String(decoding: bytes, as: UTF8.self)) else { return }
        insist(duration >= .zero, "a duration below nothing")
        insist(Duration(text: duration.text) != nil, "\(duration.text) is not read again")
    },
    FuzzTarget("url") { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        insist(isHarmless(printable(url: text)), "a URL for people")
        guard let url = try? WebAddress(text) else { return }
        insist(isHarmless(url.text), "a URL: \(url.text.debugDescription)")
        insist((try? WebAddress(url.text))?.text == url.text, "\(url.text) is read otherwise")
        _ = RedirectScope(hosts: ["vault.example.com", "10.0.0.1"], listed: [text]).holds(url)
        _ = HTTPRoute.Proxy.url("http://proxy", exceptions: text).address(for: url.host, port: url.port)
        if let next = try? url.resolving(text) { insist(isHarmless(next.text), "where a redirect leads") }
    },
    FuzzTarget("printable") { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        for limit in [0, 1, 7, 200] {
            let shown = printable(text, limit: limit)
            insist(isHarmless(shown), "printable text: \(shown.debugDescription)")
        }
    },
]
