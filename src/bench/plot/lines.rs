//! Measurements over a quantity, and the laws that were fitted to them.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::{Area, DrawingError, FONT, around};

/// Several series over the same axes.
pub struct Lines {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub scale: Scale,
    pub series: Vec<Series>,
}

/// How both axes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// Points that are not positive are left out.
    Logarithmic,
}

impl Scale {
    fn shows(self, (x, y): &(f64, f64)) -> bool {
        let is_there = |value: f64| value.is_finite() && (self == Scale::Linear || value > 0.0);
        is_there(*x) && is_there(*y)
    }
}

/// What was measured, in the order of x.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// The curve through the points that a law makes; without one, straight lines join them.
    pub fitted: Vec<(f64, f64)>,
}

impl Lines {
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<(), DrawingError<'static>> {
        let shown = |point: &&(f64, f64)| self.scale.shows(point);
        let all = || self.series.iter().flat_map(|series| series.points.iter().chain(&series.fitted)).filter(shown);
        match self.scale {
            Scale::Linear => {
                let most = |of: fn(&(f64, f64)) -> f64| 1.1 * all().map(of).fold(f64::MIN_POSITIVE, f64::max);
                self.draw_over(area, 0.0..most(|p| p.0).max(1.0), 0.0..most(|p| p.1).max(1e-9))
            }
            Scale::Logarithmic if all().next().is_none() => {
                self.draw_over(area, (1.0..10.0).log_scale(), (1.0..10.0).log_scale())
            }
            Scale::Logarithmic => {
                let (x, y) = (around(all().map(|p| p.0)), around(all().map(|p| p.1)));
                self.draw_over(area, x.log_scale(), y.log_scale())
            }
        }
    }

    fn draw_over<X, Y>(&self, area: &Area<'_>, x: X, y: Y) -> Result<(), DrawingError<'static>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut context = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(x, y)?;
        context.configure_mesh().x_desc(&self.x_label).y_desc(&self.y_label).draw()?;
        for (number, series) in self.series.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let visible = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
                points.iter().copied().filter(|point| self.scale.shows(point)).collect()
            };
            let (points, fitted) = (visible(&series.points), visible(&series.fitted));
            let line = if fitted.is_empty() { points.clone() } else { fitted };
            context.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
            let circles = points.into_iter().map(|at| Circle::new(at, 4, color.filled()));
            let legend = move |(x, y): (i32, i32)| Circle::new((x + 9, y), 4, color.filled());
            context.draw_series(circles)?.label(&series.name).legend(legend);
        }
        context
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()
    }
}
