//! Colours that follow packages, the same in every picture.

/// Hues told apart.
const HUES: u64 = 48;
/// Lightness and chroma in OKLCH: black text stands out at 4.5:1 and more, and
/// every hue is a colour that screens have.
const LIGHTNESS: f64 = 0.82;
const CHROMA: f64 = 0.085;

/// What was cut: no package's colour.
pub(crate) const GREY: [u8; 3] = [200, 200, 200];

/// The colour of a package as red, green, blue.
#[must_use]
pub fn colour(package: &str) -> [u8; 3] {
    if package.is_empty() {
        return GREY;
    }
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = package.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let hue = (hash ^ (hash >> 32)) % HUES;
    oklch(LIGHTNESS, CHROMA, hue as f64 * std::f64::consts::TAU / HUES as f64)
}

/// The colour of a change between -1 (all gone, blue) and 1 (all new, orange):
/// told apart by those who do not tell red from green.
#[must_use]
pub(crate) fn change(strength: f64) -> [u8; 3] {
    let strength = if strength.is_finite() { strength.clamp(-1.0, 1.0) } else { 0.0 };
    let hue: f64 = if strength < 0.0 { 250.0 } else { 62.0 };
    // Small changes are seen too: the root spreads them.
    let depth = strength.abs().sqrt();
    oklch(0.94 - 0.2 * depth, 0.13 * depth, hue.to_radians())
}

/// OKLCH to sRGB. Source: <https://bottosson.github.io/posts/oklab/>.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
    .map(|linear| (encoded(linear.clamp(0.0, 1.0)) * 255.0).round() as u8)
}

/// Linear light as sRGB encodes it (IEC 61966-2-1).
fn encoded(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(value: u8) -> f64 {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    }

    /// Contrast to black text, by WCAG 2.
    fn contrast([red, green, blue]: [u8; 3]) -> f64 {
        let light = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        (light + 0.05) / 0.05
    }

    #[test]
    fn black_text_is_read_on_every_colour() {
        for name in 0..1000 {
            let colour = colour(&name.to_string());
            assert!(contrast(colour) >= 4.5, "{colour:?}");
        }
        assert!(contrast(GREY) >= 4.5);
    }

    #[test]
    fn changes_are_read_too_and_have_two_sides() {
        for step in -100..=100 {
            let colour = change(f64::from(step) / 100.0);
            assert!(contrast(colour) >= 4.5, "{step}: {colour:?}");
        }
        let ([r, _, b], [more_r, _, more_b]) = (change(-1.0), change(1.0));
        assert!(b > r && more_r > more_b);
        assert_eq!(change(f64::NAN), change(0.0));
    }

    #[test]
    fn one_package_has_one_colour_and_packages_differ() {
        assert_eq!(colour("serde_json"), colour("serde_json"));
        let some: std::collections::BTreeSet<_> =
            ["runtime", "net/http", "serde_json", "tokio", "alloc"].map(colour).into();
        assert!(some.len() > 3, "{some:?}");
    }
}
