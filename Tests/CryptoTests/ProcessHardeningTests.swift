// Process hardening, in a process of its own: it cannot be undone.

import CLinux
import Glibc
import Testing

@testable import Crypto

@Suite("A hardened process")
struct ProcessHardeningTests {
    @Test("dumps no core, makes files for its owner only and survives a reader that goes away")
    func hardened() async {
        await #expect(processExitsWith: .success) {
            try ProcessHardening.apply()
            try #require(vta_is_dumpable() == 0)
            var limit = rlimit()
            try #require(unsafe getrlimit(__rlimit_resource_t(4), &limit) == 0)
            try #require(limit.rlim_cur == 0 && limit.rlim_max == 0)
            try #require(umask(0) == 0o077)
            raise(SIGPIPE)
        }
    }
}
