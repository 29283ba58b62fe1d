use super::RunFolder;
use facelatch::{
    files::write_atomically,
    plot::{Chart, Series},
};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
};

/// `metrics.jsonl`: one object a line, each with its `step`.
pub struct Metrics {
    file: File,
    lines: Vec<Map<String, Value>>,
}

impl Metrics {
    /// Opens the file of a run that goes on after `step`: later lines, and one that a kill cut short,
    /// are dropped, because those steps will be made again.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(folder: &RunFolder, step: u64) -> io::Result<Self> {
        let path = folder.file("metrics.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<Map<String, Value>> = (text.lines())
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Map<_, _>| line.get("step").and_then(Value::as_u64) <= Some(step))
            .collect();
        let kept: String = lines.iter().map(|line| json!(line).to_string() + "\n").collect();
        write_atomically(&path, kept.as_bytes())?;
        Ok(Self { file: OpenOptions::new().append(true).open(&path)?, lines })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn add(&mut self, line: Map<String, Value>) -> io::Result<()> {
        self.file.write_all((json!(line).to_string() + "\n").as_bytes())?;
        self.lines.push(line);
        Ok(())
    }

    fn series(&self, key: &str, name: &str) -> Option<Series> {
        let points: Vec<_> = (self.lines.iter())
            .filter_map(|line| Some((line.get("step")?.as_f64()?, line.get(key)?.as_f64()?)))
            .collect();
        (!points.is_empty()).then(|| Series { name: name.into(), points })
    }

    /// Draws what has been measured so far.
    ///
    /// # Errors
    /// What the chart says.
    pub fn draw(
        &self,
        folder: &RunFolder,
        curves: &[Curves],
    ) -> Result<(), facelatch::plot::PlotError> {
        for c in curves {
            let series: Vec<_> =
                c.series.iter().filter_map(|(key, name)| self.series(key, name)).collect();
            if series.is_empty() {
                continue;
            }
            let chart = Chart {
                title: c.title.into(),
                x_label: "step".into(),
                y_label: c.y.into(),
                log_x: false,
                series,
            };
            chart.write(&folder.file(c.file))?;
        }
        Ok(())
    }
}

/// A chart of metrics over the steps.
pub struct Curves {
    /// Name of its files, without extension.
    pub file: &'static str,
    /// What stands above it.
    pub title: &'static str,
    /// What its values are.
    pub y: &'static str,
    /// Key in `metrics.jsonl` and name of each curve; what was not measured is left out.
    pub series: &'static [(&'static str, &'static str)],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Config, RunConfig};

    #[test]
    fn lines_after_the_checkpoint_are_dropped_because_they_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = RunConfig::default();
        config.data.sources.push(crate::data::Source::new("a", "faces"));
        let folder = RunFolder::new(dir.path()).unwrap();
        folder.begin(&config.to_toml()).unwrap();
        let path = folder.file("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":2,\"loss\":0.5}\n{\"step\":3}\n{\"step\":4,\"lo")
            .unwrap();
        let mut metrics = Metrics::open(&folder, 2).unwrap();
        metrics
            .add(Map::from_iter([("step".into(), json!(3)), ("loss".into(), json!(0.25))]))
            .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("\n") && text.contains("0.25"));
    }
}
