import Testing
@testable import Cgroups
