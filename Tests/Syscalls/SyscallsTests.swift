import Testing
@testable import Syscalls
