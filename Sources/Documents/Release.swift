/// This release of Carrel, as reports, provenances, manual pages and `--version` name it.
public enum Release {
    /// Its version (semver.org).
    public static let version = "0.1.0"
}
