import Container
import Glibc

/// Starts the second time (``protectOwnProgram(_:)``) before the Swift runtime and the libraries of this program have been set
/// up, which would be for nothing: a function of `.preinit_array` is called before all constructors (System V ABI, "Initialization
/// and Termination Functions"). What fails here is told by `perform`, which does the same again.
@section(".preinit_array") @used
let startEarly: @convention(c) (Int32, Arguments?, Arguments?) -> Void = { count, words, _ in
    guard let words else { return }
    // The command can be any of them: this only makes it faster.
    for index in 1..<max(Int(count), 1) {
        guard let word = words[index] else { return }
        if strcmp(word, "create") == 0 || strcmp(word, "run") == 0 || strcmp(word, "exec") == 0 {
            try? protectOwnProgram(words)
            return
        }
    }
}
