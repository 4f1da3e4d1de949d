import Testing
@testable import Privileges
