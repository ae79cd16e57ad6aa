//! Figures as lines and bars of letters.

use std::env;

/// With which letters a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Blocks of eight heights and widths.
    Blocks,
    /// What every terminal and every font has.
    Ascii,
}

/// Eight heights, the lowest first.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// A block's left part in eighths, one to seven.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

impl Letters {
    /// Blocks where the locale says that text is UTF-8, and on systems whose terminals always read it.
    pub fn of_locale() -> Self {
        Self::of(|name| env::var(name).ok(), cfg!(any(windows, target_os = "macos")))
    }

    fn of(variable: impl Fn(&str) -> Option<String>, unless_said: bool) -> Self {
        let mut said = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable);
        let is_utf8 = |locale: String| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        if said.find(|said| !said.is_empty()).map_or(unless_said, is_utf8) {
            Self::Blocks
        } else {
            Self::Ascii
        }
    }

    /// One letter for each figure, the highest for the largest; nothing stands for nothing.
    pub fn line(self, figures: &[u64]) -> String {
        let heights = if self == Self::Blocks { &BLOCKS } else { &ASCII };
        let most = figures.iter().copied().max().unwrap_or(0);
        let letter = |figure: &u64| {
            let height = (u128::from(*figure) * heights.len() as u128).div_ceil(u128::from(most).max(1));
            let height = usize::try_from(height).unwrap_or(heights.len());
            height.checked_sub(1).and_then(|place| heights.get(place)).copied().unwrap_or(' ')
        };
        figures.iter().map(letter).collect()
    }

    /// A bar that is `width` letters long where `figure` is `most`; what is not nothing is to be seen.
    pub fn bar(self, figure: u64, most: u64, width: usize) -> String {
        let eighths = (u128::from(figure) * width as u128 * 8).div_ceil(u128::from(most).max(1));
        let eighths = usize::try_from(eighths).unwrap_or(0).min(width * 8);
        match self {
            Self::Blocks => {
                let part = (eighths % 8).checked_sub(1).and_then(|place| PARTS.get(place));
                "█".repeat(eighths / 8).chars().chain(part.copied()).collect()
            }
            Self::Ascii => "#".repeat(eighths.div_ceil(8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_figure_is_the_highest_letter_and_nothing_is_nothing() {
        assert_eq!(Letters::Blocks.line(&[0, 1, 400, 800, 500]), " ▁▄█▅");
        assert_eq!(Letters::Ascii.line(&[0, 1, 400, 800, 500]), " .=@+");
        assert_eq!(Letters::Blocks.line(&[0, 0]), "  ");
        assert_eq!(Letters::Blocks.line(&[u64::MAX, 1]), "█▁");
        assert_eq!(Letters::Blocks.line(&[]), "");
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure() {
        assert_eq!(Letters::Blocks.bar(100, 100, 4), "████");
        assert_eq!(Letters::Blocks.bar(50, 100, 3), "█▌");
        assert_eq!(Letters::Blocks.bar(1, 1_000_000, 4), "▏");
        assert_eq!([Letters::Blocks.bar(0, 100, 4), Letters::Ascii.bar(0, 0, 4)], ["", ""]);
        assert_eq!([Letters::Ascii.bar(51, 100, 4), Letters::Ascii.bar(100, 100, 4)], ["###", "####"]);
    }

    #[test]
    fn the_locale_says_which_letters_there_are() {
        use Letters::{Ascii, Blocks};
        let of = |all: &[(&str, &str)], unless_said| {
            let value =
                |name: &str| all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Letters::of(value, unless_said)
        };
        assert_eq!(
            ["de_DE.UTF-8", "C.utf8", "C", "de_DE"].map(|locale| of(&[("LANG", locale)], true)),
            [Blocks, Blocks, Ascii, Ascii]
        );
        assert_eq!([of(&[], true), of(&[], false)], [Blocks, Ascii]);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], false), Blocks);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], true), Ascii);
    }
}
