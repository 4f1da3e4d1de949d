import Testing

@testable import Session

@Suite struct ProfileUnitsTests {
    @Test(arguments: [
        ("0", 0), ("1", 1), ("4096", 4096), ("64KiB", 65_536), ("512MiB", 536_870_912), ("2GiB", 2_147_483_648),
        ("1TiB", 1_099_511_627_776), ("1024TiB", 1_125_899_906_842_624), ("007MiB", 7_340_032),
    ])
    func aSizeIsRead(_ text: String, _ bytes: Int) { #expect(ByteSize.parse(text) == bytes) }

    @Test(arguments: [
        "", "GiB", "2G", "2GB", "2gib", "2 GiB", "-1", "+1", "1.5GiB", "0x10", "1025TiB", "99999999999999999999",
        "2GiBs",
        "2Gib", "2EiB", "٣", "1KiB ",
    ])
    func aSizeIsRefused(_ text: String) { #expect(ByteSize.parse(text) == nil) }

    @Test(arguments: [0, 1, 1023, 1024, 4095, 1 << 20, 3 << 29, (1 << 30) + 1, 1 << 50])
    func aSizeIsWrittenAsItIsRead(_ bytes: Int) { #expect(ByteSize.parse(ByteSize.text(bytes)) == bytes) }

    @Test func aSizeIsWrittenInItsLargestUnit() {
        #expect([0, 1536, 1 << 31, 5 << 20, 1 << 40].map(ByteSize.text) == ["0", "1536", "2GiB", "5MiB", "1TiB"])
    }

    @Test(arguments: [
        ("0s", 0), ("500ms", 500_000_000), ("10s", 10_000_000_000), ("30m", 1_800_000_000_000),
        ("1h30m", 5_400_000_000_000), ("1d1h1m1s1ms", 90_061_001_000_000),
    ])
    func aDurationIsRead(_ text: String, _ nanoseconds: Int64) { #expect(TimeSpan.parse(text) == nanoseconds) }

    @Test(arguments: [
        "", "s", "10", "10 s", "1m1h", "1s1s", "-1s", "1.5h", "1us", "1mss", "99999999999d", "106752d", "3650d1ms",
        "1h30", "none",
        "1H",
    ])
    func aDurationIsRefused(_ text: String) { #expect(TimeSpan.parse(text) == nil) }

    @Test(arguments: [0, 1_000_000, 61_000_000_000, 5_400_000_000_000, 90_061_001_000_000, 86_400_000_000_000])
    func aDurationIsWrittenAsItIsRead(_ nanoseconds: Int64) {
        #expect(TimeSpan.parse(TimeSpan.text(nanoseconds)) == nanoseconds)
    }
}
